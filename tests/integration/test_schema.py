"""The schema: migrations and metadata agree, there and back, and the trigger notes every changed day."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Table, text
from sqlalchemy.dialects import postgresql

from pipeline.adoption.schema import VERSION_TABLE, migrate, plan_migration, require_current, undo
from pipeline.database.connections import Database
from pipeline.database.tables import metadata, views
from pipeline.errors import DatabaseError
from pipeline.names import TableNames

FIRST, SECOND, THIRD = (dt.date(2026, 1, number) for number in (1, 2, 3))

BEFORE_THE_VIEW = "2026_12_05_partitions"

Notes = list[tuple[dt.date | None, str]]


@pytest.fixture
def app(database: Database) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection as an app has it; each statement is a transaction."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        yield connection


def insert(app: psycopg.Connection[Any], *times: str | None) -> list[uuid.UUID]:
    """Appends an event for each of some times, in ISO 8601; returns their ids."""
    ids = [uuid.uuid4() for _ in times]
    app.cursor().executemany(
        "INSERT INTO prompt_usage (id, prompt_id, scene, created_at) VALUES (%s, %s, 'studio', %s)",
        [(id_, uuid.UUID(int=1), time) for id_, time in zip(ids, times, strict=True)],
    )
    return ids


def notes(app: psycopg.Connection[Any]) -> Notes:
    """The notes of changed days, in order."""
    return app.execute(
        "SELECT day, operation FROM prompt_usage_invalidation ORDER BY id, day NULLS FIRST"
    ).fetchall()


def described(database: Database) -> list[tuple[Any, ...]]:
    """Every table's columns, every index, trigger and function of the schema ``public``."""
    with psycopg.connect(database.conninfo) as connection:
        return connection.execute(
            """
            SELECT table_name || '.' || column_name, data_type || is_nullable, column_default
            FROM information_schema.columns WHERE table_schema = 'public'
            UNION ALL SELECT indexname, indexdef, NULL FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT tgname, pg_get_triggerdef(oid), NULL FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT relname, array_to_string(reloptions, ' '), NULL FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
            UNION ALL SELECT proname, prosrc, NULL FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            ORDER BY 1, 2
            """
        ).fetchall()


def test_metadata_and_migrations_agree(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True},
        )

        assert compare_metadata(context, metadata) == []
        # Alembic does not compare storage parameters.
        options = metadata.tables["prompt_usage"].dialect_options["postgresql"]["with"]
        migrated = connection.execute(
            text("SELECT reloptions FROM pg_class WHERE oid = 'prompt_usage'::regclass")
        ).scalar_one()
        assert migrated == [f"{name}={value}" for name, value in options.items()]


def test_every_table_and_column_says_what_it_means_and_when_it_is_null(database: Database) -> None:
    with psycopg.connect(database.conninfo) as connection:
        silent = connection.execute(
            """
            SELECT relname, attname FROM pg_class AS t JOIN pg_attribute AS c ON c.attrelid = t.oid
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
            AND attnum > 0 AND NOT attisdropped
            AND NOT (
                obj_description(t.oid, 'pg_class') <> '' IS TRUE
                AND col_description(t.oid, attnum) ~ CASE WHEN attnotnull THEN '.' ELSE 'NULL' END IS TRUE
            )
            """
        ).fetchall()

    assert silent == []


@pytest.mark.parametrize("view", views.sorted_tables, ids=lambda view: view.name)
def test_a_view_is_as_its_table_says(database: Database, view: Table) -> None:
    with psycopg.connect(database.conninfo) as connection:
        columns = connection.execute(
            """
            SELECT attname, format_type(atttypid, NULL), col_description(attrelid, attnum)
            FROM pg_attribute WHERE attrelid = %s::regclass ORDER BY attnum
            """,
            [view.name],
        ).fetchall()
        about = connection.execute("SELECT obj_description(%s::regclass)", [view.name]).fetchone()

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    assert columns == [
        (column.name, column.type.compile(dialect).lower(), column.comment) for column in view.columns
    ]
    assert about == (view.comment,)


def test_a_view_that_the_app_has_is_left_alone(empty_database: Database) -> None:
    with psycopg.connect(empty_database.conninfo, autocommit=True) as connection:
        connection.execute("CREATE VIEW stats_freshness AS SELECT 1 AS its_own")
        before = described(empty_database)
        with pytest.raises(DatabaseError, match=r"stats_freshness.*already exists"):
            migrate(empty_database)
        assert described(empty_database) == before
        connection.execute("DROP VIEW stats_freshness")
    migrate(empty_database)


def test_the_view_is_readable_for_those_who_could_read_what_it_shows(empty_database: Database) -> None:
    migrate(empty_database)
    with psycopg.connect(empty_database.conninfo, autocommit=True) as connection:
        connection.execute('CREATE ROLE "who reads"')
        connection.execute("CREATE ROLE nosy")
        try:
            connection.execute('GRANT SELECT ON stats_refresh TO "who reads"')
            connection.execute("DROP VIEW stats_freshness")
            connection.execute("DROP TABLE prompt_marker")
            set_back = "UPDATE prompt_stats_schema_version SET version_num = %s"
            connection.execute(set_back, [BEFORE_THE_VIEW])
            migrate(empty_database)
            may = connection.execute(
                "SELECT has_table_privilege('who reads', 'stats_freshness', 'SELECT'),"
                " has_table_privilege('who reads', 'stats_freshness', 'UPDATE'),"
                " has_table_privilege('nosy', 'stats_freshness', 'SELECT')"
            ).fetchone()
        finally:
            connection.execute('DROP OWNED BY "who reads", nosy')
            connection.execute('DROP ROLE "who reads", nosy')
    assert may == (True, False, False)


def test_before_the_first_refresh_the_stats_are_not_fresh(database: Database) -> None:
    with psycopg.connect(database.conninfo) as connection:
        rows = connection.execute("SELECT as_of, lag_seconds, is_fresh FROM stats_freshness").fetchall()
    assert rows == [(None, None, False)]


def test_up_down_up(empty_database: Database) -> None:
    up = migrate(empty_database)
    whole = described(empty_database)
    assert up.before is None
    assert up.steps

    down = undo(empty_database)
    assert described(empty_database) == []
    assert down.before == up.after
    assert sorted(down.steps) == sorted(up.steps)

    assert migrate(empty_database) == up
    assert described(empty_database) == whole


def test_migrating_twice_does_nothing(database: Database) -> None:
    before = described(database)

    report = migrate(database)

    assert report.steps == []
    assert report.before == report.after
    assert described(database) == before


def test_migrations_at_once_take_turns(empty_database: Database) -> None:
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(migrate, [empty_database] * 2))

    assert sorted(bool(report.steps) for report in reports) == [False, True]
    require_current(empty_database)


def test_a_migration_that_fails_goes_on_where_it_stopped(empty_database: Database) -> None:
    with psycopg.connect(empty_database.conninfo, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION note_prompt_usage_change() RETURNS int LANGUAGE sql AS 'SELECT 1'"
        )

        with pytest.raises(
            DatabaseError, match=r"adds triggers.*cannot change return type.*continues where it stop"
        ):
            migrate(empty_database)

        connection.execute("DROP FUNCTION note_prompt_usage_change()")
    assert migrate(empty_database).steps == [
        "adds triggers to public.prompt_usage, which note the days of changed rows and mark new rows"
    ]


def test_a_current_schema_is_found_current(database: Database) -> None:
    require_current(database)


def test_a_missing_schema_is_answered_with_what_to_do(empty_database: Database) -> None:
    text = re.compile(
        r"^Checking the database's schema: it is at revision none, but this version needs \w+\. "
        r"Run: prompt-stats migrate\.$"
    )
    with pytest.raises(DatabaseError, match=text):
        require_current(empty_database)


@pytest.mark.parametrize("look", [require_current, plan_migration, migrate])
def test_a_schema_that_is_not_there_is_said(
    empty_database: Database, look: Callable[[Database], Any]
) -> None:
    elsewhere = Database(empty_database.conninfo, TableNames(schema='no"pe'))
    with (
        closing(elsewhere),
        pytest.raises(DatabaseError, match='it has no schema "no""pe", which DATABASE_URL'),
    ):
        look(elsewhere)


def test_another_revision_is_named(database: Database) -> None:
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = 'of_next_year'")

    with pytest.raises(DatabaseError, match="it is at revision of_next_year, but this version needs "):
        require_current(database)


def test_inserts_note_nothing(app: psycopg.Connection[Any]) -> None:
    (event,) = insert(app, "2026-01-01")
    app.execute(
        "INSERT INTO prompt_usage (id, prompt_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", [event, event]
    )

    assert notes(app) == []


def test_an_update_notes_each_of_its_days_once(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-01T00:00Z", "2026-01-01T23:59:59.999999Z", "2026-01-03T12:00Z", "2026-01-02T12:00Z")

    app.execute("UPDATE prompt_usage SET success = true WHERE created_at::date <> %s", [SECOND])

    assert sorted(notes(app)) == [(FIRST, "UPDATE"), (THIRD, "UPDATE")]


def test_a_delete_notes_its_days(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-01", "2026-01-02")

    app.execute("DELETE FROM prompt_usage WHERE created_at::date = %s", [SECOND])

    assert notes(app) == [(SECOND, "DELETE")]


def test_a_truncate_notes_every_day(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-01", "2026-01-02")

    app.execute("TRUNCATE prompt_usage")

    assert notes(app) == [(None, "TRUNCATE")]


def test_a_moved_event_notes_the_day_it_left_and_the_day_it_came_to(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-01")

    app.execute("UPDATE prompt_usage SET created_at = '2026-01-03'")

    assert sorted(notes(app)) == [(FIRST, "UPDATE"), (THIRD, "UPDATE")]


def test_an_undated_event_is_noted_without_a_day(app: psycopg.Connection[Any]) -> None:
    insert(app, None, None)

    app.execute("UPDATE prompt_usage SET success = true")
    app.execute("DELETE FROM prompt_usage")

    assert notes(app) == [(None, "UPDATE"), (None, "DELETE")]


def test_a_statement_that_changes_nothing_notes_nothing(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-01")

    app.execute("UPDATE prompt_usage SET success = true WHERE created_at IS NULL")
    app.execute("DELETE FROM prompt_usage WHERE created_at IS NULL")

    assert notes(app) == []


def test_rows_that_go_with_their_user_are_noted(app: psycopg.Connection[Any]) -> None:
    app.execute("CREATE TABLE app_users (id uuid PRIMARY KEY)")
    app.execute(
        "ALTER TABLE prompt_usage ADD FOREIGN KEY (user_id) REFERENCES app_users (id) ON DELETE CASCADE"
    )
    app.execute("INSERT INTO app_users SELECT gen_random_uuid() FROM generate_series(1, 2)")
    insert(app, "2026-01-01", "2026-01-02")
    app.execute("UPDATE prompt_usage SET user_id = (SELECT max(id::text)::uuid FROM app_users)")
    app.execute("TRUNCATE prompt_usage_invalidation")

    app.execute("DELETE FROM app_users")

    assert sorted(notes(app)) == [(FIRST, "DELETE"), (SECOND, "DELETE")]


def test_the_day_is_that_of_utc_whatever_the_session_speaks(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-02T03:00Z")
    app.execute("SET timezone = 'America/New_York'")

    app.execute("DELETE FROM prompt_usage")

    assert notes(app) == [(SECOND, "DELETE")]


def test_a_note_carries_the_transaction_that_made_the_change(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-01")

    with app.transaction():
        app.execute("DELETE FROM prompt_usage")
        own = app.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()

    assert app.execute("SELECT xid FROM prompt_usage_invalidation").fetchone() == own


def test_a_rolled_back_change_leaves_no_note(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-01")

    with app.transaction(force_rollback=True):
        app.execute("DELETE FROM prompt_usage")

    assert notes(app) == []


def test_the_apps_role_needs_no_right_on_the_notes(app: psycopg.Connection[Any]) -> None:
    insert(app, "2026-01-01")

    # Roles belong to the whole server: this one never comes to be.
    with app.transaction(force_rollback=True):
        app.execute("CREATE ROLE an_app")
        app.execute("GRANT SELECT, UPDATE ON prompt_usage TO an_app")
        app.execute("SET LOCAL ROLE an_app")
        app.execute("UPDATE prompt_usage SET success = true")
        app.execute("RESET ROLE")

        assert notes(app) == [(FIRST, "UPDATE")]


def test_a_row_carries_the_transaction_that_inserted_it(app: psycopg.Connection[Any]) -> None:
    with app.transaction():
        insert(app, "2026-01-01")
        own = app.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()

    app.execute("UPDATE prompt_usage SET success = true")

    assert app.execute("SELECT ingest_xid FROM prompt_usage").fetchone() == own


def test_comments_that_differ_are_brought_up_to_date_and_those_of_the_app_stay(database: Database) -> None:
    changed = {
        "TABLE prompt_stats": "ours",
        "COLUMN stats_freshness.as_of": "ours",
        "TABLE posts": "the app's",
    }
    found = "SELECT obj_description('{0}'::regclass), col_description('stats_freshness'::regclass, 2)"
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        before = connection.execute(found.format("prompt_stats").encode()).fetchone()
        for what, comment in changed.items():
            connection.execute(f"COMMENT ON {what} IS $${comment}$$".encode())
        assert migrate(database).steps == []
        assert connection.execute(found.format("prompt_stats").encode()).fetchone() == before
        assert connection.execute("SELECT obj_description('posts'::regclass)").fetchone() == ("the app's",)
