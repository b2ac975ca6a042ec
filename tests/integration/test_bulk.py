"""Calls that go in bulk are the events that each would be by itself; what is unusual does not go in bulk."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pipeline.limits import GENERATION_TIME_MAX_MS, TEXT_MAX_LENGTH
from pipeline.tracking.batches import append_events
from pipeline.tracking.bulk import append_calls
from pipeline.tracking.call import Call, call_of
from tests.adopted import KINDS, adopted, id_of
from tests.conftest import NewDatabase

MORE = """
    ALTER TABLE prompt_usage
        ADD user_id {kind}, ADD character_id varchar(40), ADD post_id text, ADD job_id uuid,
        ADD outfit varchar(10), ADD error_message text, ADD environment text NOT NULL DEFAULT 'studio',
        ALTER generation_time_ms TYPE {whole}, ALTER created_at TYPE {time}
"""
TYPES = {
    "uuid": ("integer", "timestamptz"),
    "text": ("smallint", "timestamp"),
    "bigint": ("bigint", "timestamptz"),
}
TEXTS = ["", "a\tb\nc\\d", "\\N", "é😀", "null", "x" * TEXT_MAX_LENGTH, None]


def call(**values: Any) -> Call:
    given = {"environment": "rain", **values}
    made = call_of(tuple(given.get(name) for name in Call._fields[2:]))
    assert made
    return made


@pytest.fixture(scope="module", params=KINDS)
def table(request: pytest.FixtureRequest, new_database: NewDatabase) -> Iterator[tuple[str, Any]]:
    """The kind of an app's ids, and a connection to its database."""
    kind: str = request.param
    whole, time = TYPES[kind]
    with (
        adopted(new_database, kind, MORE.format(kind=kind, whole=whole, time=time)) as database,
        psycopg.connect(database.conninfo, autocommit=True) as app,
    ):
        for number, slug in ((1, "selfie"), (2, "twice"), (3, "twice")):
            app.execute(
                "INSERT INTO prompts (id, slug, name) VALUES (%s, %s, '')", (id_of(kind, number), slug)
            )
        yield kind, app


def rows(app: psycopg.Connection[Any]) -> list[Any]:
    """All events, in order, and then none."""
    deleted = app.execute(
        "WITH gone AS (DELETE FROM prompt_usage RETURNING *) SELECT to_jsonb(gone) - 'ingest_xid' FROM gone"
    )
    return sorted(deleted.fetchall(), key=str)


def test_calls_in_bulk_are_the_events_that_each_would_be(table: tuple[str, Any]) -> None:
    kind, app = table
    prompt, ids = id_of(kind, 1), [uuid.uuid4(), str(uuid.uuid4()).upper(), None]
    calls = [
        *(call(prompt_id=prompt, scene=text, error_message=text) for text in TEXTS),
        *(call(prompt_id="selfie", post_id=each, character_id=each, job_id=each) for each in ids),
        *(call(prompt_id=prompt, success=each, generation_time_ms=0) for each in (True, False, None)),
        call(prompt_id=str(prompt), user_id=id_of(kind, 7), generation_time_ms=32_767, post_id=2**62),
    ]
    assert append_calls(app, calls)
    copied = rows(app)
    assert len(copied) == len(calls)
    assert not append_events(app, [each.read() for each in calls]).rejected
    assert copied == rows(app)


UNUSUAL: list[dict[str, Any]] = [
    {"prompt_id": "of no prompt"},
    {"prompt_id": "twice"},
    {"prompt_id": True},
    {"scene": "x" * (TEXT_MAX_LENGTH + 1)},
    {"scene": "a\0b"},
    {"scene": "\ud800"},
    {"scene": 5},
    {"environment": None},
    {"outfit": "x" * 11},
    {"character_id": "x" * 41},
    {"character_id": ""},
    {"post_id": True},
    {"post_id": 2**63},
    {"post_id": "x" * (TEXT_MAX_LENGTH + 1)},
    {"job_id": "urn:uuid:12345678-1234-5678-1234-567812345678"},
    {"job_id": 5},
    {"success": 1},
    {"generation_time_ms": -1},
    {"generation_time_ms": 5.5},
    {"generation_time_ms": True},
    {"generation_time_ms": GENERATION_TIME_MAX_MS + 1},
]


@pytest.mark.parametrize("values", UNUSUAL, ids=ascii)
def test_nothing_goes_in_bulk_beside_what_is_unusual(table: tuple[str, Any], values: dict[str, Any]) -> None:
    kind, app = table
    usual = {"prompt_id": id_of(kind, 1)}
    assert not append_calls(app, [call(**usual), call(**{**usual, **values}), call(**usual)])
    assert rows(app) == []


def test_a_time_goes_in_bulk_where_its_column_has_room(table: tuple[str, Any]) -> None:
    kind, app = table
    is_small = TYPES[kind][0] == "smallint"
    assert append_calls(app, [call(prompt_id=id_of(kind, 1), generation_time_ms=2**15)]) is not is_small
    assert len(rows(app)) == (0 if is_small else 1)


def test_nothing_goes_in_bulk_beside_what_is_there_already(table: tuple[str, Any]) -> None:
    kind, app = table
    first, second = (call(prompt_id=id_of(kind, 1)) for _ in range(2))
    assert append_calls(app, [first])
    assert not append_calls(app, [second, first])
    assert len(rows(app)) == 1


def test_an_id_goes_in_bulk_where_its_column_has_room(new_database: NewDatabase) -> None:
    """The driver writes the last four bytes of a number that takes eight."""
    with (
        adopted(new_database, "bigint", "ALTER TABLE prompt_usage ALTER prompt_id TYPE integer") as database,
        psycopg.connect(database.conninfo, autocommit=True) as app,
    ):
        app.execute("INSERT INTO prompts (id, slug, name) VALUES (5, 'small', ''), (2^32 + 5, 'large', '')")
        assert append_calls(app, [call(prompt_id="small")])
        assert not append_calls(app, [call(prompt_id="large")])
        assert len(rows(app)) == 1


def test_nothing_is_misread_after_a_column_became_another(table: tuple[str, Any]) -> None:
    """A whole number and a float of four bytes look the same in binary."""
    kind, app = table
    calls = [call(prompt_id=id_of(kind, 1), generation_time_ms=5_000)]
    before, _ = TYPES[kind]
    assert append_calls(app, calls)
    assert len(rows(app)) == 1
    app.execute("ALTER TABLE prompt_usage ALTER generation_time_ms TYPE real")
    assert not append_calls(app, calls)
    assert rows(app) == []
    append_events(app, [each.read() for each in calls])
    assert [row["generation_time_ms"] for (row,) in rows(app)] == [5_000]
    app.execute(f"ALTER TABLE prompt_usage ALTER generation_time_ms TYPE {before}")
    assert not append_calls(app, calls)
    assert append_calls(app, calls)
    assert len(rows(app)) == 1


@pytest.mark.parametrize("value", [["a", "list"], b"\0" * 16, object], ids=repr)
def test_what_may_change_later_is_read_at_once(value: object) -> None:
    assert call_of((*[None] * 4, "selfie", value, *[None] * 5)) is None
