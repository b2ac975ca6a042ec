"""The write path and the table that it meets: whatever it is like, an event counts once, and none is lost."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from pipeline.adoption.schema import migrate, plan_migration, undo
from pipeline.database.connections import Database
from pipeline.database.sessions import search_path_option
from pipeline.health.doctor import schema as examined
from pipeline.health.doctor.setup import Setup
from pipeline.names import TableNames
from pipeline.refresh import refresh
from pipeline.tracking import PromptTracker
from tests.api import served
from tests.app import at
from tests.conftest import APP_SCHEMA, NewDatabase

PROMPT = uuid.UUID(int=1)
EVENT = str(uuid.UUID(int=0xABCDEF)).upper()

Mode = Literal["direct", "buffered"]
RENAMED = "schema=public, prompt_usage=uses, prompt_usage.scene=place"
RENAME = "ALTER TABLE prompt_usage RENAME TO uses; ALTER TABLE uses RENAME scene TO place;"
IDENTITY = "ALTER TABLE prompt_usage DROP id, ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;"
TENANT = "ALTER TABLE prompt_usage ADD tenant text NOT NULL;"

DOMAINS = "CREATE DOMAIN a_label AS varchar(6); CREATE DOMAIN a_time AS numeric(5, 2);"


@contextmanager
def adopted(new_database: NewDatabase, template: str, script: str, names: str = "") -> Iterator[Database]:
    """An app's database, changed by a script and then migrated, with one prompt."""
    with new_database(template) as plain:
        execute(plain, script)
        execute(plain, f"INSERT INTO prompts (id, name, template) VALUES ('{PROMPT}', 'a name', '')")
        database = Database.from_url(plain.conninfo, names=TableNames.parse(names)) if names else plain
        try:
            migrate(database)
            execute(database, "UPDATE prompts SET slug = 'portrait'")
            yield database
        finally:
            database.close()


def address(database: Database) -> str:
    """The database's, as an app is given it that has other names."""
    return make_conninfo(database.conninfo, options=search_path_option(database.names))


def execute(database: Database, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(address(database), autocommit=True, row_factory=dict_row) as app:
        cursor = app.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def events(database: Database) -> list[dict[str, Any]]:
    return execute(database, "SELECT * FROM prompt_usage ORDER BY ingest_xid")


def findings(database: Database) -> list[tuple[str, str]]:
    """What the doctor says of writing."""
    setup = Setup()
    vars(setup)["database"] = database
    return [(each.status.value, each.summary) for each in examined.writing(setup)]


TABLES = {
    "as made by drizzle": ("", "", "events are known again by id; an event is rejected that violates"),
    "numbered by the database": (IDENTITY, "", "events are known again by event_key; the database makes id"),
    "a sequence": ("ALTER TABLE prompt_usage DROP id, ADD id serial PRIMARY KEY", "", "by event_key"),
    "a view of one that is numbered": (IDENTITY + RENAME, RENAMED, "by event_key; the database makes id"),
    "a key of two columns": (
        "ALTER TABLE prompt_usage DROP CONSTRAINT prompt_usage_pkey, ADD PRIMARY KEY (id, created_at)",
        "",
        "by event_key",
    ),
    "a deferrable key": (
        "ALTER TABLE prompt_usage DROP CONSTRAINT prompt_usage_pkey, ADD PRIMARY KEY (id) DEFERRABLE",
        "",
        "by event_key",
    ),
    "a generated column": (
        "ALTER TABLE prompt_usage DROP scene, ADD scene text GENERATED ALWAYS AS (outfit) STORED",
        "",
        "the database makes scene",
    ),
    "a default for what may not be NULL": (
        "ALTER TABLE prompt_usage ALTER scene SET DEFAULT 'studio', ALTER scene SET NOT NULL",
        "",
        "by id",
    ),
    "short texts and long times": (
        "ALTER TABLE prompt_usage ALTER scene TYPE varchar(6), ALTER generation_time_ms TYPE float8",
        "",
        "by id",
    ),
    "the same of domains": (
        f"{DOMAINS} ALTER TABLE prompt_usage ALTER scene TYPE a_label, ALTER generation_time_ms TYPE a_time",
        "",
        "by id",
    ),
}
SCENES: dict[str, list[str | None]] = {
    "a generated column": ["jeans", "jeans"],
    "a default for what may not be NULL": ["beach house", "studio"],
    "short texts and long times": ["beach…", None],
    "the same of domains": ["beach…", None],
}
TIMES_MS = {"short texts and long times": 5479.99, "the same of domains": None}


@pytest.mark.parametrize("table", TABLES)
def test_an_event_counts_once_in_whatever_table(
    new_database: NewDatabase, app_template: str, table: str
) -> None:
    script, names, described = TABLES[table]
    with adopted(new_database, app_template, script, names) as database:
        [(status, said)] = findings(database)
        assert (status, described in said) == ("ok", True), said
        given: dict[str, Any] = {"outfit": "jeans", "generation_time_ms": 5479.99}
        modes: tuple[Mode, ...] = ("direct", "buffered", "buffered")
        for mode in modes:
            with PromptTracker(address(database), mode=mode) as tracker:
                tracker.track_post_creation(prompt_id=PROMPT, event_id=EVENT, scene="beach house", **given)
                tracker.track_post_creation(prompt_id="portrait", event_id=EVENT.lower()[::-1], **given)
            assert (tracker.stats().written, tracker.stats().rejected) == (2, 0)
        with served(database) as client:
            again = [
                {"promptId": "portrait", "eventId": EVENT},
                {"promptId": "portrait", "eventId": str(PROMPT)},
            ]
            assert client.post("/events", json=again).json()["taken"] == 2
        rows = events(database)
        assert len(rows) == 3
        assert {row["prompt_id"] for row in rows} == {PROMPT}
        assert [row["scene"] for row in rows][:2] == SCENES.get(table, ["beach house", None])
        time_ms = TIMES_MS.get(table, 5480)
        assert [row["generation_time_ms"] for row in rows] == [time_ms, time_ms, None]
        # What the app inserts itself needs no key.
        execute(database, f"INSERT INTO prompt_usage (prompt_id) VALUES ('{PROMPT}'), ('{PROMPT}')")
        undo(database)
    assert rows[0].get("event_key") in (None, EVENT)


@pytest.mark.parametrize("mode", ["direct", "buffered"])
def test_a_text_that_an_enum_lacks_keeps_no_event_out(
    new_database: NewDatabase, app_template: str, mode: Mode
) -> None:
    script = (
        "CREATE TYPE a_scene AS ENUM ('beach'); ALTER TABLE prompt_usage ALTER scene TYPE a_scene USING NULL"
    )
    with adopted(new_database, app_template, script) as database:
        with PromptTracker(address(database), mode=mode) as tracker:
            for scene in ("beach", "cafe"):
                tracker.track_post_creation(prompt_id="portrait", scene=scene, success=False)
            assert tracker.flush()
            # The tracker's connection knows the values of before.
            execute(database, "ALTER TYPE a_scene ADD VALUE 'cafe'")
            tracker.track_post_creation(prompt_id="portrait", scene="cafe", success=False)
        stats = tracker.stats()
        assert (stats.written, stats.mended, stats.rejected) == (3, 1, 0)
        assert [row["scene"] for row in events(database)] == ["beach", None, "cafe"]


def test_events_that_the_database_numbers_are_counted(
    new_database: NewDatabase, app_template: str, lake: str
) -> None:
    with adopted(new_database, app_template, IDENTITY) as database:
        with PromptTracker(address(database)) as tracker:
            for number in (1, 2, 2):
                tracker.track_post_creation(prompt_id=PROMPT, event_id=number)
        assert refresh(at(database, lake)).usage_count == 2
        assert {row["event_key"] for row in events(database)} == {"1", "2"}


UPPER = "0198F3C4-5A00-7C4E-9D0A-3B2F1E6D7C8B"
SPELLED: dict[str, tuple[Any, ...]] = {
    "text": (UPPER, UPPER.lower(), UPPER.replace("-", ""), f"{{{UPPER}}}", "user|42", "a/b.c %"),
    "bigint": (2**53 + 1, 2**53 + 2, -7),
}


@pytest.mark.parametrize("kind", SPELLED)
def test_ids_are_written_as_they_are_spelled(new_database: NewDatabase, tmp_path: Path, kind: str) -> None:
    script = APP_SCHEMA.read_text().replace("gen_random_uuid()", "NULL").replace("uuid", kind)
    keys = ("user_id", "character_id", "post_id", "job_id")
    with new_database("template0") as database:
        execute(database, script)
        migrate(database)
        for each in SPELLED[kind]:
            for table, columns in (("users", "id, email"), ("prompts", "id, name, template")):
                values = f"'{each}', '{each}'" + (", ''" if table == "prompts" else "")
                execute(database, f"INSERT INTO {table} ({columns}) VALUES ({values})")
            given = {"event_id": each, "prompt_id": each, **dict.fromkeys(keys, each)}
            with PromptTracker(address(database), mode="direct") as tracker:
                assert str(tracker.track_post_creation(**given)).lower() in (str(each).lower(), UPPER.lower())
            with PromptTracker(address(database), journal_dir=tmp_path / "journal") as tracker:
                tracker.track_post_creation(**given)
            with PromptTracker(address(database)) as tracker:
                tracker.track_from_post({**given, "id": each}, event_id=each)
        with served(database) as client:
            sent = [{"eventId": each, "promptId": each, "userId": each} for each in SPELLED[kind]]
            assert client.post("/events", json=sent).json() == {
                "taken": len(sent),
                "rejected": [],
                "warnings": [],
            }
        written = [tuple(row[name] for name in ("id", "prompt_id", *keys)) for row in events(database)]
    assert written == [(each,) * 6 for each in SPELLED[kind]]


OBSTACLES = {
    "a column that nobody knows": (
        TENANT,
        "",
        "public.prompt_usage.tenant is NOT NULL without a default, and no event has it: none can be tracked",
    ),
    "the same below a view": (
        TENANT + RENAME,
        RENAMED,
        "public.uses.tenant is NOT NULL without a default, and no event has it: none can be tracked",
    ),
}


@pytest.mark.parametrize("mode", ["direct", "buffered"])
@pytest.mark.parametrize("table", OBSTACLES)
def test_what_no_event_can_meet_is_said_before_and_loses_none(
    new_database: NewDatabase,
    app_template: str,
    table: str,
    mode: Mode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    script, names, said = OBSTACLES[table]
    with adopted(new_database, app_template, script, names) as database:
        assert [each.what for each in plan_migration(database).warnings] == [said]
        assert findings(database) == [("warning", said)]
        name = TableNames.parse(names).table("prompt_usage")
        with PromptTracker(address(database), mode=mode) as tracker:
            ids = [tracker.track_post_creation(prompt_id=PROMPT) for _ in range(3)]
            assert not tracker.flush(1)
            assert (tracker.stats().waiting, tracker.stats().rejected) == (3, 0)
            assert (
                caplog.text.count("Prompt usage events are waiting, because prompt_usage accepts none") == 1
            )
            execute(database, f"ALTER TABLE public.{name} ALTER tenant SET DEFAULT 'us'")
            assert tracker.flush(20)
            assert {row["id"] for row in events(database)} == {*ids}
            execute(database, f"ALTER TABLE public.{name} ALTER tenant DROP DEFAULT")
            last = tracker.track_post_creation(prompt_id=PROMPT)
        # Closed, it hands over what nobody has put right.
        [kept] = execute(database, "SELECT * FROM prompt_usage_rejected")
        assert kept["event_id"] == last
        assert 'null value in column "tenant"' in kept["reason"]
        assert (tracker.stats().rejected, tracker.stats().failed) == (1, 0)


def test_numbers_that_nobody_makes_are_the_events_own(new_database: NewDatabase, app_template: str) -> None:
    script = "ALTER TABLE prompt_usage DROP id, ADD id bigint PRIMARY KEY"
    with adopted(new_database, app_template, script) as database:
        [(status, said)] = findings(database)
        assert status == "warning"
        assert said.endswith("id is bigint without a default: an event without a number is rejected")
        with PromptTracker(address(database)) as tracker:
            for event_id in (2**53 + 1, str(2**53 + 1), None):
                tracker.track_post_creation(prompt_id=PROMPT, event_id=event_id)
        assert [row["id"] for row in events(database)] == [2**53 + 1]
        assert (tracker.stats().written, tracker.stats().rejected) == (2, 1)


def test_one_event_that_a_broken_trigger_meets_does_not_hold_up_the_others(
    new_database: NewDatabase, app_template: str
) -> None:
    script = """
        CREATE FUNCTION app_check() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.scene = 'broken' THEN PERFORM * FROM no_such_table; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER app_check BEFORE INSERT ON prompt_usage FOR EACH ROW EXECUTE FUNCTION app_check()
    """
    with adopted(new_database, app_template, script) as database:
        with PromptTracker(address(database)) as tracker:
            for scene in (*["fine"] * 40, "broken", *["fine"] * 40):
                tracker.track_post_creation(prompt_id=PROMPT, scene=scene)
            assert tracker.flush(30)
        assert (tracker.stats().written, tracker.stats().rejected) == (80, 1)
        [kept] = execute(database, "SELECT reason FROM prompt_usage_rejected")
        assert 'relation "no_such_table" does not exist' in kept["reason"]


def test_what_nothing_takes_is_left_in_a_journal(
    new_database: NewDatabase,
    app_template: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with adopted(new_database, app_template, "") as database, caplog.at_level(logging.ERROR):
        execute(
            database,
            "ALTER TABLE prompt_usage RENAME TO gone; ALTER TABLE prompt_usage_rejected RENAME TO off",
        )
        with PromptTracker(address(database)) as tracker:
            tracker.track_post_creation(prompt_id=PROMPT, event_id=EVENT)
        [folder] = tmp_path.glob("prompt-usage-events-*")
        assert str(folder) in caplog.text
        execute(
            database,
            "ALTER TABLE gone RENAME TO prompt_usage; ALTER TABLE off RENAME TO prompt_usage_rejected",
        )
        with PromptTracker(address(database), journal_dir=folder) as sender:
            assert sender.flush()
        assert [row["id"] for row in events(database)] == [uuid.UUID(EVENT)]
