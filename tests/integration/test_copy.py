"""How frames come into tables: each value as it was, whatever types an app has, and indexes in time."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import polars as pl
import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.publish.copy import copy_frame
from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount
from tests.roles import as_role
from tests.statements import run

ADDED = """
    INSERT INTO prompt_usage (prompt_id, user_id, success)
    SELECT gen_random_uuid(), gen_random_uuid(), true FROM generate_series(1, 10)
"""
INDEXES = """
    SELECT indexrelid::regclass::text, indexrelid, concat_ws(' ', pg_get_indexdef(indexrelid), indisprimary)
    FROM pg_index WHERE indrelid = 'user_prompt_stats'::regclass ORDER BY 1
"""
BY_PROMPT = "user_prompt_stats_prompt_id_idx"

MOMENT = dt.datetime(2026, 1, 1, 1, 2, 3, 456, dt.UTC)
LONG_AGO = dt.datetime(1960, 2, 29, tzinfo=dt.UTC)
TYPES = {
    "bigint": (pl.Int64, [1, None, -(2**63)]),
    "integer": (pl.Int64, [1, None, -(2**31)]),
    "smallint": (pl.Int64, [1, None, -(2**15)]),
    "double precision": (pl.Float64, [5 / 6 * 100, None, -0.0]),
    "boolean": (pl.Boolean, [True, None, False]),
    "date": (pl.Date, [dt.date(1999, 12, 31), None, dt.date(2026, 1, 2)]),
    "timestamp": (pl.Datetime("us"), [MOMENT.replace(tzinfo=None), None, LONG_AGO.replace(tzinfo=None)]),
    "timestamptz": (pl.Datetime("us", "UTC"), [MOMENT, None, LONG_AGO]),
    "uuid": (pl.String, [str(uuid.UUID(int=7)), None, str(uuid.UUID(int=2**127))]),
    "text": (pl.String, ["\\N", None, ""]),
    "varchar(2)": (pl.String, ["ä", None, '"']),
}


@pytest.mark.parametrize(
    "kinds",
    [TYPES, {**TYPES, "plan": (pl.String, ["free", None, "paid"])}],
    ids=["known types", "a type of the app"],
)
def test_each_value_arrives_as_it_was(database: Database, kinds: dict[str, Any]) -> None:
    if "plan" in kinds:
        # As text, a time has a zone.
        kinds = {kind: values for kind, values in kinds.items() if kind != "timestamp"}
    columns = {f"c{number}": kind for number, kind in enumerate(kinds)}
    rows = pl.DataFrame(
        {name: pl.Series(kinds[kind][1], dtype=kinds[kind][0]) for name, kind in columns.items()}
    )
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TYPE plan AS ENUM ('free', 'paid')")
        defined = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.exec_driver_sql(f"CREATE TABLE copied ({defined})")
        assert copy_frame(connection, "copied", rows) == 3
        found = [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM copied")]
    texts = [[str(cell) if isinstance(cell, uuid.UUID) else cell for cell in row] for row in found]
    assert texts == [list(row) for row in rows.iter_rows()]


def indexes(database: Database) -> dict[str, tuple[int, str]]:
    """Of ``user_prompt_stats``: their oids and definitions."""
    with psycopg.connect(database.conninfo) as connection:
        return {name: (oid, definition) for name, oid, definition in connection.execute(INDEXES)}


def filled(database: Database, lake: str, as_whom: Database | None = None) -> tuple[bool, bool]:
    """Whether a first fill leaves the indexes as they were defined; and whether it made one anew."""
    with psycopg.connect(database.conninfo) as app:
        app.execute(ADDED.encode())
    before = indexes(database)
    refresh(at(as_whom or database, lake))
    assert_equals_recount(database, FIRST_DAY)
    after = indexes(database)
    is_same = {name: index[1] for name, index in before.items()} == {
        name: index[1] for name, index in after.items()
    }
    return is_same, before[BY_PROMPT] != after[BY_PROMPT]


def test_an_empty_table_has_its_indexes_made_when_it_is_filled(database: Database, lake: str) -> None:
    assert filled(database, lake) == (True, True)
    assert filled(database, lake) == (True, False)


def test_indexes_stay_where_somebody_reads(database: Database, lake: str) -> None:
    with psycopg.connect(database.conninfo) as reader:
        reader.execute("SELECT FROM user_prompt_stats")
        assert filled(database, lake) == (True, False)


def test_indexes_stay_where_the_role_owns_no_table(database: Database, lake: str) -> None:
    with as_role(database, "pipeline") as pipeline:
        assert filled(database, lake, pipeline) == (True, False)


def test_indexes_stay_where_a_view_rests_on_the_key(database: Database, lake: str) -> None:
    view = "SELECT user_id, usage_count FROM user_prompt_stats GROUP BY user_id, prompt_id"
    run(database, f"CREATE VIEW used AS {view}")
    assert filled(database, lake) == (True, False)
