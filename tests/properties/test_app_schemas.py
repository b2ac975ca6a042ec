"""Odd tables of an app and hostile texts, the whole way: adopt, write, count, ask, export, erase.

Every schema is compared with the recount of its raw events. At least 200 schemas on demand:
``pytest tests/properties/test_app_schemas.py --hypothesis-profile=thorough``.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.adoption.schema import migrate
from pipeline.answers.export import Format, open_export
from pipeline.database.connections import Database
from pipeline.errors import DatabaseError, InputError
from pipeline.health.checks.recount import prompts_equal_recount
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.refresh import plan_refresh, refresh
from pipeline.samples.seeding import seed_prompts
from pipeline.settings import settings as environment
from pipeline.tracking import PromptTracker
from tests.api import served
from tests.app import at
from tests.app_schemas import TEXTS, AppSchema, app_schemas
from tests.cli import invoke
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount

NOW = dt.datetime.now(dt.UTC)
UNLISTED = 3
"""The place of the prompt that the app does not have."""

UNDATED = ["infinity", "-infinity", "12026-01-01", "0044-03-15 BC", "294276-12-31"]
"""What Postgres takes for a time, and nobody can put on a calendar."""

EVENT = st.fixed_dictionaries(
    {
        "prompt": st.integers(0, UNLISTED),
        "user": st.sampled_from([None, 0, 1, 2]),
        "success": st.sampled_from([True, False, None]),
        "generation_time_ms": st.sampled_from([None, 0, 1, 5012, 5012.5, 86_399_999, 40_000, 10**30, "NaN"]),
        "created_at": st.sampled_from(
            [None, "2025-02-03T04:05:06.789Z", "1999-01-01", NOW.isoformat(), *UNDATED]
        ),
        **dict.fromkeys(
            ("scene", "environment", "outfit", "error_message"),
            st.one_of(st.sampled_from([None, "beach", "studio"]), TEXTS),
        ),
    }
)
EVENTS = st.lists(EVENT, min_size=1, max_size=5)
IS_DATED = "created_at BETWEEN '0001-01-01' AND '9999-12-31 23:59:59.999999'"
IS_TIME = "generation_time_ms BETWEEN -2147483648 AND 2147483647"
RAW_EVENTS = f"""
    CREATE VIEW raw_events AS
    SELECT
        id, prompt_id, user_id, scene::text, environment::text, outfit::text, success,
        CASE WHEN {IS_TIME} THEN generation_time_ms::double precision END AS generation_time_ms,
        error_message::text, CASE WHEN {IS_DATED} THEN created_at::timestamptz END AS created_at
    FROM prompt_usage
"""


class App:
    """An app with its tables, adopted, and its four ways to write."""

    def __init__(self, database: Database, schema: AppSchema, slugs: Sequence[str]) -> None:
        self.database = database
        self.schema = schema
        self.sql = psycopg.connect(database.conninfo, autocommit=True)
        self.sql.execute(schema.script.encode())
        if schema.is_inherited:
            with pytest.raises(DatabaseError, match="inheritance"):
                migrate(database)
            self.sql.execute("ALTER TABLE a_child NO INHERIT prompt_usage")
        migrate(database)
        self.sql.cursor().executemany(
            "INSERT INTO users VALUES (%s)", [(str(each),) for each in schema.users]
        )
        for prompt, slug in zip(schema.prompts[:UNLISTED], slugs, strict=False):
            given = {"id": str(prompt), "name": slug[:40], "slug": slug[:200]}
            self._insert("prompts", given)
        if schema.has_favorites:
            for user in schema.users[:2]:
                self._insert("prompt_favorites", {"prompt_id": str(schema.prompts[0]), "user_id": str(user)})
        self.sql.execute(RAW_EVENTS.encode())
        self.numbers = iter(range(1, 1000))

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        names = ", ".join(values)
        places = ", ".join(f"%({name})s" for name in values)
        self.sql.execute(f"INSERT INTO {table} ({names}) VALUES ({places})".encode(), values)

    def given(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event as a caller of ours gives it."""
        given = {name: value for name, value in event.items() if name not in ("prompt", "user")}
        if given["created_at"] in UNDATED:
            given["created_at"] = None
        given["generation_time_ms"] = (
            float("nan") if event["generation_time_ms"] == "NaN" else event["generation_time_ms"]
        )
        user = None if event["user"] is None else self.schema.users[event["user"]]
        given["event_id"] = str(uuid.UUID(int=next(self.numbers)))
        return {**given, "prompt_id": self.schema.prompts[event["prompt"]], "user_id": user}

    def track(self, events: Sequence[dict[str, Any]], mode: Any) -> int:
        """How many a tracker has written, and all that it has not are kept."""
        with PromptTracker(self.database.conninfo, mode=mode) as tracker:
            for event in events:
                tracker.track_post_creation(**event)
        stats = tracker.stats()
        assert (stats.written + stats.rejected, stats.failed, stats.waiting) == (len(events), 0, 0), stats
        return stats.written

    def post(self, client: httpx.Client, events: Sequence[dict[str, Any]]) -> int:
        """How many the API took, and all others are said to be rejected."""
        names = {
            "event_id": "eventId",
            "prompt_id": "promptId",
            "user_id": "userId",
            "created_at": "createdAt",
        }
        names |= {"generation_time_ms": "generationTimeMs", "error_message": "errorMessage"}
        body = [
            {names.get(name, name): value for name, value in event.items() if value == value}
            for event in events
        ]
        answer = client.post(
            "/events", content=json.dumps(body, default=str), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert said["taken"] + len(said["rejected"]) == len(events)
        return int(said["taken"])

    def insert(self, events: Sequence[dict[str, Any]]) -> int:
        """How many the app's own statement has written: the table takes what it takes."""
        written = 0
        for event in events:
            values = {
                **event,
                "prompt_id": str(self.schema.prompts[event["prompt"]]),
                "user_id": None if event["user"] is None else str(self.schema.users[event["user"]]),
            }
            ours = {
                name: values[name]
                for name in self.schema.columns
                if name in values and "GENERATED" not in self.schema.columns[name]
            }
            ours = {name: str(value) if value is not None else None for name, value in ours.items()}
            with suppress(psycopg.Error, UnicodeEncodeError):
                self._insert("prompt_usage", ours)
                written += 1
        return written

    def unfounded_rejections(self) -> list[Any]:
        """The events that were rejected for what should have been mended or left out."""
        rejected = self.sql.execute("SELECT reason, payload FROM prompt_usage_rejected").fetchall()
        return [each for each in rejected if not self._is_founded(*each)]

    def _is_founded(self, reason: str, payload: dict[str, Any]) -> bool:
        """Whether the event is of a prompt that is not there, or the app's own rules refuse it as it is."""
        if re.search("^no prompt has the id|violates foreign key", reason):
            return str(payload["prompt_id"]) == str(self.schema.prompts[UNLISTED])
        if missing := re.search(r'null value in column "(\w+)" .* violates not-null', reason):
            declaration = self.schema.columns[missing[1]]
            return payload.get(missing[1]) is None and "DEFAULT" not in declaration
        if broken := re.search(r'violates check constraint "prompt_usage_(\w+)_check"', reason):
            return "length" in self.schema.columns[broken[1]] and len(payload[broken[1]]) >= 100
        return False

    def count(self, where: str = "true", *values: Any) -> int:
        """The raw events."""
        row = self.sql.execute(f"SELECT count(*) FROM raw_events WHERE {where}".encode(), values).fetchone()
        assert row
        return int(row[0])


@pytest.fixture
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether the profile of many schemas is asked for."""
    return bool(request.config.getoption("--hypothesis-profile") == "thorough")


def test_whatever_tables_an_app_has(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, *, thorough: bool
) -> None:
    @settings(
        max_examples=200 if thorough else 6,
        deadline=None,
        database=None,
        # An example takes seconds, and shrinking hundreds: the first failure is small enough to read.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(
        schema=app_schemas(),
        slugs=st.lists(TEXTS.filter(is_storable), min_size=3, max_size=3, unique_by=lambda slug: slug[:200]),
        events=st.lists(EVENTS, min_size=4, max_size=4),
        asked=TEXTS,
    )
    def whole_way(
        schema: AppSchema, slugs: list[str], events: list[list[dict[str, Any]]], asked: str
    ) -> None:
        with new_database("template0") as database, tempfile.TemporaryDirectory() as lake:
            app = App(database, schema, slugs)
            try:
                counted_and_shown(app, lake, events, asked, monkeypatch)
            finally:
                app.sql.close()

    whole_way()


def is_storable(text: str) -> bool:
    """Whether Postgres stores it."""
    return "\0" not in text and text.encode(errors="replace").decode() == text


def counted_and_shown(
    app: App, lake: str, events: list[list[dict[str, Any]]], asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way of some events, by each path. Only what the app's own rules refuse is rejected."""
    database = app.database
    written = app.insert(events[0])
    by_tracker = [[app.given(event) for event in each] for each in events[1:]]
    written += app.track(by_tracker[0], "direct")
    written += app.track(by_tracker[1], "buffered")
    with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
        written += app.post(client, by_tracker[2])
        assert app.count() == written
        # What comes again counts once.
        app.post(client, by_tracker[0])
        app.track(by_tracker[2], "buffered")
        assert app.count() == written
        assert app.unfounded_rejections() == []
        assert_counted(database, lake)
        for prompt in app.schema.prompts[:UNLISTED]:
            path = f"/prompts/{quote(str(prompt), safe='')}/stats"
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            assert answer.json()["totalUsage"] == app.count("prompt_id = %s", prompt)
        for path in ("/prompts", "/prompts/top/used", "/scenes", "/status", "/overview"):
            assert client.get(path).status_code == 200, client.get(path).text
        assert client.get("/prompts").json()["totalCount"] == UNLISTED
        assert len(client.get("/prompts/top/used").json()) == UNLISTED
        for path in (
            f"/prompts/{quote(asked, safe='', errors='surrogatepass')}",
            f"/prompts?search={quote(asked, errors='surrogatepass')}",
        ):
            assert client.get(path).status_code < 500, path
    assert_shown(app, lake, monkeypatch)
    assert_exported(app)
    assert_erased(app, lake)
    # What the app's columns do not take is an error that names the entry.
    with suppress(InputError):
        assert seed_prompts(database).imported == seed_prompts(database).unchanged


def assert_counted(database: Database, lake: str) -> None:
    """Everything that is published is the recount, and nothing is left to do or to repair."""
    refresh(at(database, lake), values=True)
    assert_equals_recount(database, FIRST_DAY, "raw_events")
    assert plan_refresh(at(database, lake)).days == []
    recounted = prompts_equal_recount(at(database, lake))
    assert recounted.passed, recounted.summary
    report = reconcile(at(database, lake))
    assert (report.repaired, report.rebuilt, report.lost, report.rows_corrected) == ({}, {}, {}, {})


def assert_shown(app: App, lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands end well, and name what there is."""
    monkeypatch.setenv("DATABASE_URL", app.database.conninfo)
    monkeypatch.setenv("PROMPT_STATS_LAKE_URI", lake)
    environment.cache_clear()
    try:
        for words in (["top"], ["top", "--json"], ["status", "--json"]):
            ended = invoke(*words)
            assert ended.exit_code == 0, (words, ended.output, ended.exception)
        assert invoke("show", "--", str(app.schema.prompts[0])).exit_code == 0
        for prompt in app.schema.prompts[:UNLISTED]:
            ended = invoke("show", "--json", "--", str(prompt))
            assert ended.exit_code == 0, (prompt, ended.output, ended.exception)
            assert json.loads(ended.stdout)["usage_count"] == app.count("prompt_id = %s", prompt)
    finally:
        environment.cache_clear()


def assert_exported(app: App) -> None:
    """Each file has a row per prompt."""
    for kind in Format:
        with open_export(app.database, "prompts", kind) as export:
            content = b"".join(chunk.content for chunk in export.chunks)
        rows: Sequence[Any] | Any
        if kind is Format.JSON:
            rows = json.loads(content)
        elif kind is Format.CSV:
            rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        else:
            rows = pq.read_table(io.BytesIO(content)).to_pylist()
        assert len(rows) == UNLISTED, kind


def assert_erased(app: App, lake: str) -> None:
    """A person's events go, and those of the others stay."""
    user = app.schema.users[0]
    left = app.count() - app.count("user_id = %s", user)
    report = erase_user(at(app.database, lake), str(user))
    assert (report.found, report.unread) == ({}, {})
    assert (app.count("user_id = %s", user), app.count()) == (0, left)
    assert_counted(app.database, lake)
