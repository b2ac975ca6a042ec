"""Odd values in an app's ``prompts``: each row is shown with what could be read, and hides no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest

from pipeline.answers import reading
from pipeline.answers.export import Format, open_export
from pipeline.database.connections import Database
from pipeline.installation import Installation
from pipeline.refresh import refresh
from pipeline.settings import Settings
from pipeline.web.dashboard.report import write_report
from tests.adopted import BEYOND_DOUBLES, adopted, id_of
from tests.api import served
from tests.app import at
from tests.conftest import NewDatabase

COLUMNS = """
    CREATE TYPE mood AS ENUM ('calm');
    CREATE TYPE pair AS (a integer, b text);
    CREATE DOMAIN label AS text;
    ALTER TABLE prompts
        ADD address inet, ADD network cidr, ADD span int4range, ADD spans datemultirange, ADD lasts interval,
        ADD bytes bytea, ADD mood mood, ADD moods mood[], ADD pairing pair, ADD pairs pair[],
        ADD hosts inet[],
        ADD amount numeric, ADD "paid for" money, ADD bits bit(3), ADD place point, ADD words tsvector,
        ADD clock time, ADD wide bigint, ADD narrow integer, ADD numbers bigint[],
        ADD user_id bigint,
        ADD plain json, ADD rich jsonb, ADD day date, ADD at timestamp, ADD ats timestamptz[], ADD rate real,
        ADD category label, ADD tags text[], ADD created_at timestamp, ADD rating mood,
        ADD usage_count numeric, ADD is_active boolean
"""
VALUES = """
    INSERT INTO prompts (
        id, name, address, network, span, spans, lasts, bytes, mood, moods, pairing, pairs, hosts, amount,
        "paid for", bits, place, words, clock, wide, narrow, numbers, user_id, plain, rich, day, at, ats,
        rate, category, tags, created_at, rating, deleted_at
    ) VALUES (
        %s, 'odd', '10.0.0.1/8', '10.0.0.0/8', '[1,5)', '{[2026-01-01,2026-01-03)}', '1 day 02:00', '\\x00ff',
        'calm', '{calm}', '(1,x)', '{"(1,x)"}', '{10.0.0.1}', 'NaN', '12.50', '101', '(1,2)', 'a b',
        '12:00', 9007199254740993, 7, '{{1,2},{NULL,9007199254740993}}', 9007199254740993,
        '{"a": 123456789012345678901234567890}',
        '[1e400, "é"]',
        'infinity', '0044-03-15 BC', '{infinity,2026-01-01 00:00+00}', 'NaN', 'portrait', '{x}',
        '12026-01-01', 'calm', NULL
    )
"""
SHOWN = {
    "address": "10.0.0.1/8",
    "network": "10.0.0.0/8",
    "span": "[1,5)",
    "spans": "{[2026-01-01,2026-01-03)}",
    "lasts": "1 day 02:00:00",
    "bytes": "\\x00ff",
    "mood": "calm",
    "moods": "{calm}",
    "pairing": "(1,x)",
    "pairs": '{"(1,x)"}',
    "hosts": "{10.0.0.1}",
    "amount": "NaN",
    "bits": "101",
    "place": "(1,2)",
    "words": "'a' 'b'",
    "clock": "12:00:00",
    "wide": "9007199254740993",
    "narrow": 7,
    "numbers": [["1", "2"], [None, "9007199254740993"]],
    "userId": "9007199254740993",
    "plain": {"a": 123456789012345678901234567890},
    "day": None,
    "at": None,
    "ats": [None, "2026-01-01T00:00:00Z"],
    "rate": None,
    "category": "portrait",
    "tags": ["x"],
    "createdAt": None,
    "rating": "calm",
    "isActive": None,
}
NULL = (
    "day is null 1 times for infinity",
    "at is null 1 times for 0044-03-15 00:00:00 BC",
    "ats",
    "createdAt",
)


class App(NamedTuple):
    """An app with an odd prompt and a plain one, used twice and once."""

    database: Database
    client: httpx.Client
    settings: Settings


@pytest.fixture(scope="module")
def app(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Its ids are numbers beyond those of JavaScript; tests only read."""
    lake = str(tmp_path_factory.mktemp("lake"))
    with adopted(new_database, "bigint", COLUMNS) as database:
        with psycopg.connect(database.conninfo) as writer:
            writer.execute(VALUES.encode(), [id_of("bigint", 1)])
            writer.execute("INSERT INTO prompts (id, name) VALUES (%s, 'plain')", [id_of("bigint", 2)])
            for number in (1, 1, 2):
                writer.execute(
                    "INSERT INTO prompt_usage (prompt_id, created_at) VALUES (%s, now())",
                    [id_of("bigint", number)],
                )
        refresh(at(database, lake), values=True)
        values = {"PROMPT_STATS_LAKE_URI": lake}
        with served(database, **values) as client:
            yield App(database, client, Settings.model_validate(values))


def odd_one(app: App, path: str) -> tuple[Any, Any]:
    """The answer, and the odd prompt in it."""
    answer = app.client.get(path)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    rows = found if isinstance(found, list) else found.get("prompts") or [found["prompt"]]
    return found, next(row for row in rows if row["name"] == "odd")


@pytest.mark.parametrize(
    "path",
    ["/prompts", f"/prompts/{BEYOND_DOUBLES + 1}", "/prompts/top/used", "/prompts?active=true&search=odd"],
)
def test_an_odd_prompt_is_shown_with_what_could_be_read(app: App, path: str) -> None:
    found, odd = odd_one(app, path)
    assert {name: odd[name] for name in SHOWN} == SHOWN
    assert odd["id"] == str(BEYOND_DOUBLES + 1)
    if isinstance(found, dict):
        assert all(any(note.startswith(start) for note in found["notes"]) for start in NULL)
    assert "plain" in app.client.get("/prompts").text


def test_a_prompt_is_active_unless_it_says_otherwise(app: App) -> None:
    """Nobody has said so of any here, and none is hidden."""
    rows, ranked = (
        reading.top_prompts(Installation.of(app.settings, app.database), 10)["prompts"],
        app.client.get("/prompts/top/usage").json(),
    )
    assert [row["name"] for row in rows] == ["odd", "plain"]
    assert [row["name"] for row in ranked["prompts"]] == ["odd", "plain"]
    assert app.client.get("/prompts?active=false").json()["totalCount"] == 0


def test_a_plain_answer_has_no_notes(app: App) -> None:
    assert "notes" not in app.client.get("/prompts?search=plain").json()
    assert app.client.get("/prompts/top/used").headers["stats-notes"] == "4"


@pytest.mark.parametrize(
    "value", ["1" * 5_000, "[" * 3_000 + "]" * 3_000], ids=["a long number", "a deep nest"]
)
def test_the_report_has_the_odd_prompt_and_the_plain_one(app: App, tmp_path: Path, value: str) -> None:
    with psycopg.connect(app.database.conninfo, autocommit=True) as writer:
        before = writer.execute("SELECT rich::text FROM prompts WHERE name = 'odd'").fetchone()
        assert before
        writer.execute("UPDATE prompts SET rich = %s::jsonb WHERE name = 'odd'", [value])
        try:
            written = write_report(app.settings, app.database, tmp_path / "report.html")
        finally:
            writer.execute("UPDATE prompts SET rich = %s::jsonb WHERE name = 'odd'", before)
    assert [prompt["name"] for prompt in written.prompts] == ["odd", "plain"]


@pytest.mark.parametrize("kind", [*Format])
def test_exports_have_the_odd_prompt_and_the_plain_one(app: App, kind: Format) -> None:
    with open_export(app.database, "prompts", kind) as export:
        content = b"".join(chunk.content for chunk in export.chunks)
    if kind is Format.JSON:
        rows = json.loads(content)
        assert [(row["id"], row["name"]) for row in rows] == [
            (str(BEYOND_DOUBLES + 1), "odd"),
            (str(BEYOND_DOUBLES + 2), "plain"),
        ]
    else:
        assert content.count(b"plain") >= 1
        assert str(BEYOND_DOUBLES + 1).encode() in content or kind is Format.PARQUET
