"""Reconcile finds what no refresh was told of, repairs it, and says so."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from sqlalchemy import BigInteger, Double, Executable, Integer, Table, Update, delete, func, text, update

from pipeline.database.connections import Database
from pipeline.database.tables import ROW_ID, STATS_TABLES, VALUE_TABLES, told, user_prompt_stats
from pipeline.lake import range_index
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import SCHEMA, USAGE, USERS, wrong_days
from pipeline.lake.periods import State
from pipeline.lake.usage_events import open_usage_events
from pipeline.maintenance.reconcile import reconcile
from pipeline.publish.values import publish_values
from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.lake_files import change_rows, delete_files, files_of, scribble_on_files, truncate_files
from tests.oracle import assert_equals_recount
from tests.published import Published
from tests.triggers import OFF, ON

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
OLD = TODAY - 40 * ONE_DAY
PROMPT = uuid.UUID(int=7)
USER = uuid.UUID(int=1001)

INSERT = """
    INSERT INTO prompt_usage
        (prompt_id, user_id, scene, success, generation_time_ms, error_message, created_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


def live(app: psycopg.Connection) -> None:
    """Events of odd kinds on a few days of two months."""
    app.execute("INSERT INTO prompts (id, name, template) VALUES (%s, 'a name', 'a template')", (PROMPT,))
    for number in (0, 1, 5, 39, 40):
        at = NOW - number * ONE_DAY
        app.execute(INSERT, (PROMPT, USER, "studio", True, number, None, at))
        app.execute(INSERT, (PROMPT, None, None, None, None, "timeout after 3 s", at))
        app.execute(INSERT, (PROMPT, USER, "", False, -5, "é\n|\x01", at))
    app.execute(INSERT, (PROMPT, USER, "studio", True, 1, None, None))
    app.execute(INSERT, (PROMPT, USER, "studio", True, 1, None, NOW - 4000 * ONE_DAY))


def test_nothing_is_found_where_nothing_is_wrong(history: Database, lake: str) -> None:
    report = reconcile(at(history, lake))
    assert report.events == 17
    assert (report.repaired, report.rebuilt, report.lost, report.rows_corrected) == ({}, {}, {}, {})


def test_what_the_app_deletes_is_no_fault(history: Database, lake: str) -> None:
    with psycopg.connect(history.conninfo) as app:
        app.execute("DELETE FROM prompt_usage WHERE user_id IS NULL")
    report = reconcile(at(history, lake))
    assert (report.repaired, report.rebuilt) == ({}, {})
    assert_equals_recount(history, FIRST_DAY)


@pytest.mark.parametrize(
    ("harm", "day"),
    [(delete_files, FIRST_DAY), (delete_files, TODAY), (truncate_files, OLD), (scribble_on_files, OLD)],
)
def test_damaged_day_is_read_again(
    history: Database, lake: str, harm: Callable[[str, str, dt.date], None], day: dt.date
) -> None:
    harm(lake, "usage_events", day)
    report = reconcile(at(history, lake))
    assert list(report.repaired) == [day]
    assert reconcile(at(history, lake)).repaired == {}
    assert_equals_recount(history, FIRST_DAY)


@pytest.mark.parametrize(
    ("harm", "table"),
    [(delete_files, USAGE.daily), (truncate_files, USAGE.daily), (scribble_on_files, USAGE.daily)],
)
def test_damaged_partials_are_made_anew(
    history: Database, lake: str, harm: Callable[[str, str, dt.date], None], table: str
) -> None:
    harm(lake, table, OLD)
    report = reconcile(at(history, lake))
    assert report.rebuilt[table] == [OLD]
    assert reconcile(at(history, lake)).rebuilt == {}
    assert_equals_recount(history, FIRST_DAY)


def swap(rows: pa.Table) -> pa.Table:
    """Successes are failures, and the other way round: what adds up still adds up."""
    names = {"success_count": "failure_count", "failure_count": "success_count"}
    return rows.rename_columns([names.get(name, name) for name in rows.column_names])


@pytest.mark.parametrize(
    "tables",
    [
        [USAGE.daily, USAGE.monthly, USAGE.total],
        [USAGE.daily],
        [USAGE.total],
        [USERS.monthly, USERS.total],
        [USERS.monthly],
        [USERS.total],
    ],
    ids=", ".join,
)
def test_partials_with_other_values_are_made_anew(history: Database, lake: str, tables: list[str]) -> None:
    for table in tables:
        change_rows(lake, table, swap)
    report = reconcile(at(history, lake))
    assert report.rebuilt.keys() >= set(tables)
    assert report.repaired == {}
    assert_equals_recount(history, FIRST_DAY)
    assert reconcile(at(history, lake)).rebuilt == {}


def larger(rows: pa.Table, column: str) -> pa.Table:
    """The rows with other values in a column."""
    place = rows.schema.get_field_index(column)
    values = rows.column(place)
    if values.type in (pa.string(), pa.large_string()):
        other = pa.array(["x"] * len(rows), values.type)
    else:
        numbers = pc.fill_null(values.cast(pa.int64()), 0)
        other = pc.add(numbers, 7).cast(values.type)
    return rows.set_column(place, rows.schema.field(place), other)


@pytest.mark.parametrize(
    ("table", "is_wrong"),
    [
        (USAGE.daily, lambda state, events: wrong_days(state.daily, events, state.days)),
        (USAGE.monthly, lambda state, _: state.wrong_months(state.months)),
        (USAGE.total, lambda state, _: state.is_total_wrong()),
    ],
    ids=["daily", "monthly", "total"],
)
def test_each_value_of_a_partial_is_compared(
    counted: Published, lake: str, table: str, is_wrong: Callable[[State, DailyTable], object]
) -> None:
    shutil.copytree(counted.lake, lake)
    state, events = State(lake, USAGE), open_usage_events(lake)
    assert not is_wrong(state, events)
    whole = {file: file.read_bytes() for file in files_of(lake, table)}
    for column in set(SCHEMA.names) - {"day", "events_version"}:
        change_rows(lake, table, partial(larger, column=column))
        assert is_wrong(state, events), column
        for file, content in whole.items():
            file.write_bytes(content)


@pytest.mark.parametrize("table", [USAGE.monthly, USAGE.total, USERS.monthly, USERS.total])
def test_damaged_period_is_made_anew(history: Database, lake: str, table: str) -> None:
    periods = DeltaTable(f"{lake}/{table}")
    assert periods.file_uris()
    for uri in periods.file_uris():
        Path(uri.removeprefix("file://")).write_bytes(b"no Parquet")
    report = reconcile(at(history, lake))
    assert table in report.rebuilt
    assert_equals_recount(history, FIRST_DAY)


def test_partition_removed_from_the_log_is_read_again(history: Database, lake: str) -> None:
    DeltaTable(f"{lake}/usage_events").delete(f"day = '{OLD}'")
    report = reconcile(at(history, lake))
    assert report.repaired == {OLD: "Postgres has 3 events and the lake 0"}
    assert_equals_recount(history, FIRST_DAY)


def test_rows_lost_from_the_middle_of_a_day_are_read_again(history: Database, lake: str) -> None:
    DeltaTable(f"{lake}/usage_events").delete(f"day = '{OLD}' AND scene IS NULL")
    report = reconcile(at(history, lake))
    assert list(report.repaired) == [OLD]
    assert_equals_recount(history, FIRST_DAY)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE prompt_usage SET success = NOT success WHERE scene = 'studio'",
        "UPDATE prompt_usage SET generation_time_ms = generation_time_ms + 1",
        "UPDATE prompt_usage SET created_at = created_at + interval '1 microsecond'",
        "DELETE FROM prompt_usage WHERE user_id IS NULL",
    ],
)
def test_change_that_the_trigger_missed_is_found(history: Database, lake: str, change: str) -> None:
    with psycopg.connect(history.conninfo) as operator:
        operator.execute(OFF)
        operator.execute(change.encode())
        operator.execute(ON)
    report = reconcile(at(history, lake))
    assert len(report.repaired) >= 5
    assert_equals_recount(history, FIRST_DAY)


def contents(database: Database, table: Table) -> list[str]:
    """The rows of a stats table, but for when each was written."""
    rows = text(f"SELECT to_jsonb(t) - '{ROW_ID}' - 'stats_as_of' FROM {table.name} AS t")
    with database.engine.connect() as operator:
        return sorted(map(repr, operator.scalars(rows)))


def edited(table: Table) -> Update:
    """Another number in each column of numbers."""
    numbers = [column for column in told(table) if isinstance(column.type, BigInteger | Integer | Double)]
    return update(table).values({column.name: func.coalesce(column, 0) + 1 for column in numbers})


@pytest.mark.parametrize("change", [edited, delete], ids=["edited", "deleted"])
def test_stats_edited_by_hand_are_corrected(
    history: Database, lake: str, change: Callable[[Table], Executable]
) -> None:
    publish_values(at(history, lake))
    published = [*STATS_TABLES, user_prompt_stats, *VALUE_TABLES]
    before = {table.name: contents(history, table) for table in published}
    with history.engine.begin() as operator:
        for table in published:
            assert operator.execute(change(table)).rowcount
        operator.execute(text("UPDATE prompts SET usage_count = 7"))
    report = reconcile(at(history, lake))
    assert report.repaired == {}
    assert report.rows_corrected.keys() >= before.keys()
    assert {table.name: contents(history, table) for table in published} == before
    assert_equals_recount(history, FIRST_DAY)


# Two rows fill a page, and each page is a range of the index. The last page has room for one row.
TWO_PER_PAGE = """
    ALTER TABLE prompt_usage ALTER COLUMN error_message SET STORAGE PLAIN;
    ALTER TABLE prompt_usage SET (autovacuum_enabled = off);
    DROP INDEX prompt_usage_ingest_brin;
    CREATE INDEX prompt_usage_ingest_brin ON prompt_usage USING brin (ingest_xid, created_at)
        WITH (pages_per_range = 1);
    INSERT INTO prompts (name, template) VALUES ('a name', 'a template');
    INSERT INTO prompt_usage (prompt_id, error_message, created_at)
    SELECT id, repeat('x', 3960), now() - interval '10 days' FROM prompts, generate_series(1, 2801)
"""
SHORT = "INSERT INTO prompt_usage (prompt_id, created_at) SELECT id, now() - interval '10 days' FROM prompts"
# The second row waits for the lock 4711.
LONG_AND_SHORT = """
    INSERT INTO prompt_usage (prompt_id, error_message, created_at)
    SELECT prompts.id, repeat('x', CASE number WHEN 1 THEN 3960 ELSE 1 END), now() - interval '1 day'
    FROM prompts, generate_series(1, 2) AS number
    LEFT JOIN LATERAL (SELECT pg_advisory_xact_lock_shared(4711) WHERE number = 2) AS waited ON true
"""
LOCK = "SELECT pg_advisory_lock(4711)"
UNLOCK = "SELECT pg_advisory_unlock(4711)"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
NOW_XID = "SELECT pg_current_xact_id()::text::bigint"
BY_INDEX = "SELECT count(*) FROM prompt_usage WHERE ingest_xid >= %s"


@pytest.mark.parametrize("owner", ["the pipeline", "somebody else"])
def test_rows_that_the_index_does_not_show_are_found(
    database: Database,
    lake: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: str,
) -> None:
    if owner != "the pipeline":
        others = text("SELECT 'an_index' AS name, false AS is_ours")
        monkeypatch.setattr(range_index, "BRIN_INDEXES", others)
    connect = partial(psycopg.connect, database.conninfo)
    with connect(autocommit=True) as app, connect() as first, connect() as second:
        app.execute(TWO_PER_PAGE.encode())
        # In so small a table the planner would else not use the index.
        app.execute(f"ALTER DATABASE {app.info.dbname} SET enable_seqscan = off".encode())
        first.execute(NOW_XID)
        (xid,) = second.execute(NOW_XID).fetchone() or (0,)
        app.execute(LOCK)
        with ThreadPoolExecutor(1) as threads:
            writing = threads.submit(second.execute, LONG_AND_SHORT.encode())
            while app.execute(WAITING).fetchone() == (0,):
                assert not writing.done()
            # Into a new page, since the last is full.
            first.execute(SHORT)
            first.commit()
            app.execute("VACUUM prompt_usage")
            refresh(at(database, lake))
            app.execute(UNLOCK)
            writing.result()
        second.commit()
        app.execute("SET enable_seqscan = off")
        # If both are shown, Postgres has mended its fault: take pipeline.lake.range_index away.
        assert app.execute(BY_INDEX, (xid,)).fetchone() == (1,)
        refresh(at(database, lake))
        assert app.execute("SELECT usage_count FROM prompt_stats").fetchone() == (2803,)
        assert reconcile(at(database, lake)).hidden == [TODAY - ONE_DAY]
        is_mended = app.execute(BY_INDEX, (xid,)).fetchone() == (2,)
    assert_equals_recount(database, FIRST_DAY)
    assert is_mended == (owner == "the pipeline")
    assert ("Run as its owner: REINDEX" in caplog.text) != is_mended
    reconcile(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)


def test_what_a_broken_rebuild_left_goes(database: Database) -> None:
    indexes = (
        "SELECT array_agg(indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'prompt_usage'::regclass"
    )
    left = "prompt_usage_ingest_brin_ccnew"
    with psycopg.connect(database.conninfo, autocommit=True) as app:
        before = app.execute(indexes.encode()).fetchone()
        app.execute(f"CREATE INDEX {left} ON prompt_usage USING brin (ingest_xid)".encode())
        app.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (left,))
        range_index.rebuild(database)
        assert {*(app.execute(indexes.encode()).fetchone() or ([],))[0]} == {*(before or ([],))[0]}
