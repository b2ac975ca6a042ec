"""The counters in ``prompts``: refused where they do not fit."""

from __future__ import annotations

import re
import uuid
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline import tables
from pipeline.database import Database
from pipeline.errors import DatabaseError
from pipeline.publish.publish import publish
from pipeline.refresh import refresh
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount

A, B, C = (uuid.UUID(int=number) for number in (1, 2, 3))

# As an app has them: nullable, small, and not quite true.
APP = f"""
    ALTER TABLE prompts
        ALTER COLUMN usage_count TYPE integer, ALTER COLUMN usage_count DROP NOT NULL,
        ALTER COLUMN success_count TYPE integer, ALTER COLUMN success_count DROP NOT NULL,
        ALTER COLUMN failure_count TYPE numeric(8, 2), ALTER COLUMN failure_count DROP NOT NULL,
        ALTER COLUMN failure_count DROP DEFAULT,
        ALTER COLUMN success_rate TYPE numeric,
        ALTER COLUMN favorite_count TYPE smallint, ALTER COLUMN favorite_count DROP NOT NULL,
        ALTER COLUMN last_used_at TYPE timestamp;
    INSERT INTO prompts (id, slug, name, template, usage_count, success_count, failure_count, favorite_count)
    VALUES ('{A}', 'a', 'A', '', 5, 5, NULL, 1), ('{B}', 'b', 'B', '', 2, 9, NULL, 0),
        ('{C}', NULL, 'C', '', NULL, NULL, NULL, NULL);
    INSERT INTO prompt_favorites (prompt_id, user_id) VALUES ('{A}', '{A}');
    INSERT INTO prompt_usage (prompt_id, success, generation_time_ms, created_at)
    SELECT '{A}'::uuid, n < 5, 1000 * n, now() - interval '5 days' FROM generate_series(1, 6) AS n
    UNION ALL SELECT '{B}'::uuid, true, NULL, now() FROM generate_series(1, 3);
"""


@pytest.fixture
def app(database: Database) -> Any:
    """The app, whose tables are older than the pipeline; each statement is a transaction."""
    with psycopg.connect(database.conninfo, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(APP.encode())
        yield connection


def everything(app: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """All rows of all tables."""
    return {
        name: app.execute(f"SELECT xmin, t.* FROM {name} AS t ORDER BY t::text".encode()).fetchall()
        for name in tables.metadata.tables
        if name != tables.stats_sync.name
    }


def test_what_does_not_fit_is_refused_before_anything_is_written(
    database: Database, app: psycopg.Connection[Any], lake: str
) -> None:
    refresh(database, lake, FIRST_DAY)
    app.execute(
        """
        CREATE DOMAIN small AS numeric(2);
        ALTER TABLE prompts ALTER COLUMN usage_count TYPE small, ALTER COLUMN success_rate TYPE numeric(5, 2),
            ALTER COLUMN favorite_count TYPE text, ALTER COLUMN stats_as_of TYPE timestamptz(3),
            DROP COLUMN failure_count;
        UPDATE prompts SET last_used_at = now() WHERE last_used_at IS NULL;
        ALTER TABLE prompts ALTER COLUMN last_used_at SET NOT NULL"""
    )
    app.execute(
        f"INSERT INTO prompt_usage (prompt_id, success) SELECT '{B}', true FROM generate_series(1, 97)"
    )
    said = []
    # First the types, then what is to be written; and what it says to run is what helps.
    for _ in range(2):
        before = everything(app)
        with pytest.raises(DatabaseError, match="Nothing was published") as refused:
            refresh(database, lake, FIRST_DAY)
        assert everything(app) == before
        said.append(str(refused.value))
        [statement] = re.findall(r"ALTER TABLE prompts .*?(?= at a quiet moment)", said[-1])
        app.execute(statement.encode())
    assert "success_rate is numeric(5,2), which rounds" in said[0]
    assert "favorite_count is text, which is the wrong type" in said[0]
    assert "failure_count is missing" in said[0]
    assert "stats_as_of is timestamp(3) with time zone, which rounds" in said[0]
    assert "usage_count is numeric(2,0), which holds 99 at most, and 100 is to be written" in said[1]
    assert "last_used_at is NOT NULL, and 1 prompts have none" in said[1]
    assert "prompts" in publish(database, lake, FIRST_DAY).rows_written
    assert_equals_recount(database, FIRST_DAY)
    assert publish(database, lake, FIRST_DAY).rows_written["prompts"] == 0
