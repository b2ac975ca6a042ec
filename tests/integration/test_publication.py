"""While all tables are published, as to a warehouse, the pipeline works: each table of ours has a key."""

from __future__ import annotations

import datetime as dt
import uuid

import psycopg
import pytest
from sqlalchemy import Table

from pipeline.database.connections import Database
from pipeline.database.tables import metadata
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.retention import retain
from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount

PROMPT, PERSON = uuid.UUID(int=7), uuid.UUID(int=1001)
NOW = dt.datetime.now(dt.UTC)

# A primary key, or what was chosen in its place.
HAS_IDENTITY = """
    SELECT EXISTS (
        SELECT FROM pg_class
        INNER JOIN pg_index ON indrelid = pg_class.oid AND indisvalid AND indimmediate
        WHERE pg_class.oid = %s::regclass AND (relreplident = 'd' AND indisprimary OR indisreplident)
    )
"""


def append(app: psycopg.Connection[tuple[object, ...]], scene: str | None, *, success: bool) -> None:
    """Events of several days, some of the person's."""
    for age in (0, 1, 40):
        for user in (PERSON, None):
            app.execute(
                "INSERT INTO prompt_usage"
                " (prompt_id, user_id, scene, outfit, success, error_message, created_at)"
                " VALUES (%s, %s, %s, %s, %s, 'out of memory', %s)",
                (PROMPT, user, scene, scene, success, NOW - age * dt.timedelta(days=1)),
            )


def test_refreshes_retention_and_erasure_work_under_a_publication(database: Database, lake: str) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as app:
        app.execute("CREATE PUBLICATION warehouse FOR ALL TABLES")
        for scene in ("beach", None, "beach"):
            append(app, scene, success=scene is None)
            refresh(at(database, lake), values=True)
        app.execute("UPDATE prompt_usage SET scene = 'studio' WHERE scene = 'beach' AND user_id IS NULL")
        refresh(at(database, lake), values=True)
        assert_equals_recount(database, FIRST_DAY)
        assert retain(at(database, lake), 30).rows > 0
        report = erase_user(at(database, lake), str(PERSON))
        assert (report.events, report.found, report.unread) == (9, {}, {})
        assert app.execute("SELECT usage_count FROM prompt_stats").fetchall() == [(9,)]


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_each_table_has_an_identity_for_replication(table: Table) -> None:
    assert list(table.primary_key)
    assert not any(column.nullable for column in table.primary_key)


def test_the_database_has_them_too(database: Database) -> None:
    with psycopg.connect(database.conninfo) as app:
        found = {
            table.name: app.execute(HAS_IDENTITY, [table.name]).fetchone() for table in metadata.sorted_tables
        }
    assert found == {table.name: (True,) for table in metadata.sorted_tables}
