"""Refreshes one after the other: each brings in what is new, changed or due, and only that."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from deltalake import DeltaTable

from pipeline.database.connections import Database
from pipeline.errors import LakeConflictError, LakeError
from pipeline.lake import source
from pipeline.lake.partials import USAGE, made_from, open_partials, roll_up_days
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.publish import values
from pipeline.publish.publish import publish
from pipeline.refresh import plan_refresh, refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.lake import open_to_write
from tests.oracle import assert_equals_recount

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
PROMPT = uuid.UUID(int=7)

INSERT = "INSERT INTO prompt_usage (prompt_id, scene, success, created_at) VALUES (%s, 'studio', true, %s)"


def append(database: Database, *times: dt.datetime | None) -> None:
    """One event a time given, in one transaction."""
    with psycopg.connect(database.conninfo) as app:
        app.cursor().executemany(INSERT, [(PROMPT, time) for time in times])


def execute(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """What an app or an operator does to the raw table, and what is answered."""
    with psycopg.connect(database.conninfo) as app:
        cursor = app.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def counted(database: Database) -> int:
    """Events in the published stats."""
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute("SELECT coalesce(sum(usage_count), 0) FROM prompt_stats").fetchone()
    assert row
    return int(row[0])


def refresh_and_check(database: Database, lake: str) -> None:
    """A refresh, after which the stats equal the recount."""
    refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)


def test_only_new_rows_travel(database: Database, lake: str) -> None:
    append(database, NOW, NOW - ONE_DAY)
    refresh_and_check(database, lake)
    append(database, NOW - ONE_DAY)
    report = sync_days(at(database, lake), [TODAY - ONE_DAY, TODAY])
    assert report.appended == {TODAY - ONE_DAY: 1}
    assert report.replaced == {}


def test_nothing_new_writes_no_row_and_moves_as_of(database: Database, lake: str) -> None:
    append(database, NOW)
    first = refresh(at(database, lake))
    second = refresh(at(database, lake))
    assert set(second.rows_written.values()) == {0}
    assert second.as_of > first.as_of


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM prompt_usage WHERE id = (SELECT id FROM prompt_usage ORDER BY created_at LIMIT 1)",
        "DELETE FROM prompt_usage",
        "TRUNCATE prompt_usage",
        "UPDATE prompt_usage SET success = false, scene = NULL",
        "UPDATE prompt_usage SET created_at = created_at - interval '5 days'",
        "UPDATE prompt_usage SET created_at = NULL",
        "UPDATE prompt_usage SET created_at = created_at + interval '400 days'",
    ],
)
def test_changed_rows_are_counted_as_they_are_now(database: Database, lake: str, change: str) -> None:
    append(database, NOW, NOW - ONE_DAY, NOW - 2 * ONE_DAY, None)
    refresh_and_check(database, lake)
    execute(database, change)
    assert refresh(at(database, lake)).pending_days == []
    assert_equals_recount(database, FIRST_DAY)
    assert plan_refresh(at(database, lake)).days == []


def test_deleted_prompt_keeps_no_old_value(database: Database, lake: str) -> None:
    execute(database, f"INSERT INTO prompts (id, name, template) VALUES ('{PROMPT}', 'name', 'template')")
    append(database, NOW)
    refresh_and_check(database, lake)
    execute(database, "DELETE FROM prompt_usage")
    refresh_and_check(database, lake)
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute("SELECT usage_count, success_rate, last_used_at FROM prompts").fetchone()
        scenes = connection.execute("SELECT count(*) FROM prompt_scene_stats").fetchone()
    assert row == (0, None, None)
    assert scenes == (0,)


def test_write_back_leaves_updated_at_and_unchanged_prompts_alone(database: Database, lake: str) -> None:
    other = uuid.UUID(int=8)
    for prompt in (PROMPT, other):
        execute(database, f"INSERT INTO prompts (id, name, template) VALUES ('{prompt}', 'name', 'template')")
    append(database, NOW)
    with psycopg.connect(database.conninfo) as connection:
        before = connection.execute("SELECT id, updated_at, xmin::text FROM prompts ORDER BY id").fetchall()
        report = refresh(at(database, lake))
        connection.rollback()
        after = connection.execute("SELECT id, updated_at, xmin::text FROM prompts ORDER BY id").fetchall()
    assert report.rows_written["prompts"] == 1
    assert [row[:2] for row in before] == [row[:2] for row in after]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_what_is_counted_by_value_is_counted_again_only_from_other_events(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(database, NOW, NOW - ONE_DAY)
    refresh(at(database, lake), values=True)
    with monkeypatch.context() as patch:
        patch.delattr(values, "_counted")
        refresh(at(database, lake), values=True)
    state = "SELECT value_stats_as_of = as_of FROM stats_refresh ORDER BY id DESC LIMIT 1"
    assert execute(database, state) == [(True,)]
    execute(
        database,
        "UPDATE prompt_usage SET user_id = md5('one')::uuid WHERE created_at > now() - interval '1 hour'",
    )
    refresh(at(database, lake), values=True)
    assert execute(database, "SELECT unique_users FROM prompt_value_stats WHERE dimension = 'scene'") == [
        (1,)
    ]
    assert_equals_recount(database, FIRST_DAY)


def test_row_committed_after_a_refresh_is_in_the_next(database: Database, lake: str) -> None:
    append(database, NOW)
    with psycopg.connect(database.conninfo) as slow:
        slow.execute(INSERT, (PROMPT, NOW))
        append(database, NOW)
        report = refresh(at(database, lake))
        # The second row has a larger id than the open transaction, so it waits as well.
        assert counted(database) == 1
        with psycopg.connect(database.conninfo) as connection:
            started = connection.execute(
                "SELECT min(xact_start) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
            ).fetchone()
        assert started
        assert report.as_of <= started[0]
    refresh_and_check(database, lake)
    assert counted(database) == 3


def test_rolled_back_row_is_never_counted(database: Database, lake: str) -> None:
    with psycopg.connect(database.conninfo) as app:
        app.execute(INSERT, (PROMPT, NOW))
        app.rollback()
    refresh_and_check(database, lake)
    assert counted(database) == 0


def test_events_from_the_future_are_held_back_and_counted_as_such(database: Database, lake: str) -> None:
    append(database, NOW, NOW + 5 * ONE_DAY, NOW + 400 * ONE_DAY)
    report = refresh(at(database, lake))
    assert (report.usage_count, report.held_back_count) == (1, 2)
    assert_equals_recount(database, FIRST_DAY)


def test_held_back_events_are_taken_when_their_day_opens(database: Database, lake: str) -> None:
    append(database, NOW, NOW + ONE_DAY)
    refresh_and_check(database, lake)
    # What a refresh of the day before yesterday would have left: tomorrow was not open yet.
    execute(database, "UPDATE stats_refresh SET open_until = open_until - 2")
    execute(database, "DELETE FROM stats_day WHERE day > CURRENT_DATE")
    table = open_to_write(database, lake)
    table.replace([TODAY + ONE_DAY], table.schema.empty_table())
    roll_up_days(at(database, lake), [TODAY + ONE_DAY])
    assert TODAY + ONE_DAY in plan_refresh(at(database, lake)).days
    refresh_and_check(database, lake)
    assert counted(database) == 2


def test_progress_stays_before_a_day_that_was_not_read(database: Database, lake: str) -> None:
    append(database, NOW - 3 * ONE_DAY)
    refresh(at(database, lake))
    append(database, NOW - 3 * ONE_DAY, NOW)
    report = refresh(at(database, lake), days=[TODAY])
    assert report.pending_days == [TODAY - 3 * ONE_DAY]
    assert plan_refresh(at(database, lake)).days == [TODAY - 3 * ONE_DAY, TODAY]
    refresh_and_check(database, lake)
    assert counted(database) == 3


def test_change_of_a_day_that_was_not_read_again_is_not_forgotten(database: Database, lake: str) -> None:
    append(database, NOW, NOW - 3 * ONE_DAY)
    refresh(at(database, lake))
    execute(database, "DELETE FROM prompt_usage")
    report = refresh(at(database, lake), days=[TODAY])
    assert report.pending_days == [TODAY - 3 * ONE_DAY]
    refresh_and_check(database, lake)
    assert counted(database) == 0


def test_run_that_ended_between_its_steps_is_finished_by_the_next(database: Database, lake: str) -> None:
    append(database, NOW, NOW - ONE_DAY)
    refresh(at(database, lake))
    append(database, NOW)
    sync_days(at(database, lake), [TODAY])
    publish(at(database, lake))
    assert counted(database) == 2
    refresh_and_check(database, lake)
    assert counted(database) == 3


def test_backfill_that_ended_between_its_steps_is_finished_by_the_next(database: Database, lake: str) -> None:
    append(database, NOW - 9 * ONE_DAY)
    refresh(at(database, lake))
    sync_days(at(database, lake), [TODAY - 9 * ONE_DAY], replace=True)
    assert plan_refresh(at(database, lake)).days == [TODAY - 9 * ONE_DAY]
    refresh_and_check(database, lake)


def test_concurrent_refreshes_and_backfills_end_in_the_same_state(database: Database, lake: str) -> None:
    append(database, *(NOW - number * ONE_DAY for number in range(10)))
    days = [TODAY - number * ONE_DAY for number in range(10)]
    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(refresh, at(database, lake)) for _ in range(2)]
        runs += [
            threads.submit(refresh, at(database, lake), days[part], replace=True)
            for part in (slice(0, 7), slice(3, 10))
        ]
        append(database, NOW)
        for run in runs:
            run.result()
    refresh_and_check(database, lake)
    assert counted(database) == 11


def test_several_that_create_the_lake_at_once_create_it_once(tmp_path: Path) -> None:
    for number in range(20):
        lake = str(tmp_path / f"lake {number}")
        start = threading.Barrier(8)

        def open_with_the_others(lake: str, start: threading.Barrier = start) -> int:
            start.wait()
            return open_usage_events(lake).days().height

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(open_with_the_others, [lake] * 8)) == {0}
        assert DeltaTable(f"{lake}/usage_events").version() == 0


def test_writer_that_acts_on_an_old_state_of_the_lake_is_refused(lake: str) -> None:
    stale, fresh = open_usage_events(lake), open_usage_events(lake)
    nothing = fresh.schema.empty_table()
    fresh.replace([TODAY], nothing)
    with pytest.raises(LakeConflictError, match="Run the command again"):
        stale.replace([TODAY], nothing)


def test_readers_see_one_refresh_or_the_other(database: Database, lake: str) -> None:
    append(database, NOW)
    refresh(at(database, lake))
    with psycopg.connect(database.conninfo) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        before = reader.execute("SELECT sum(usage_count) FROM prompt_stats").fetchone()
        append(database, NOW)
        refresh(at(database, lake))
        assert reader.execute("SELECT sum(usage_count) FROM scene_stats").fetchone() == before


def test_partials_carry_the_mark_of_their_events(database: Database, lake: str) -> None:
    append(database, NOW, NOW)
    refresh(at(database, lake))
    raw, partials = open_usage_events(lake).days(), open_partials(lake).days()
    assert raw["mark"].to_list() == partials["mark"].to_list()
    assert raw.select(made_from(USAGE))["events_version"].to_list() == partials["events_version"].to_list()


def test_as_of_is_before_the_start_of_a_writer_that_others_overtook(database: Database) -> None:
    with psycopg.connect(database.conninfo) as writer:
        writer.execute(INSERT, (PROMPT, NOW))
        started = writer.execute("SELECT now()").fetchone()
        with database.engine.connect() as connection:
            alone = source.take_snapshot(connection)
        append(database, NOW)
        with database.engine.connect() as connection:
            overtaken = source.take_snapshot(connection)
    assert started
    assert alone.as_of > started[0]
    assert overtaken.as_of <= started[0]


def test_lost_lake_is_read_anew(database: Database, tmp_path: Path) -> None:
    append(database, NOW, NOW - 9 * ONE_DAY, None)
    refresh_and_check(database, str(tmp_path / "first"))
    refresh_and_check(database, str(tmp_path / "second"))
    assert counted(database) == 3


def test_partial_refresh_on_a_lost_lake_does_not_forget_the_rest(database: Database, tmp_path: Path) -> None:
    append(database, NOW, NOW - 9 * ONE_DAY)
    refresh_and_check(database, str(tmp_path / "first"))
    with pytest.raises(LakeError, match="lacks 1 published days"):
        refresh(at(database, str(tmp_path / "second")), days=[TODAY])
    assert counted(database) == 2
    refresh_and_check(database, str(tmp_path / "second"))
    assert counted(database) == 2


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
def test_time_that_no_calendar_has_counts_as_undated(database: Database, lake: str, kind: str) -> None:
    times = ["infinity", "-infinity", "12000-01-01", "10000-01-01", "0044-03-15 BC", "0001-01-01"]
    execute(database, f"ALTER TABLE prompt_usage ALTER created_at TYPE {kind}")
    append(database, NOW)
    refresh(at(database, lake))
    insert = f"INSERT INTO prompt_usage (prompt_id, created_at) VALUES ('{PROMPT}', '%s')"
    for time in [*times, "9999-12-31 23:59:59.999999"]:
        execute(database, insert % time)
    report = refresh(at(database, lake))
    assert (report.usage_count, report.held_back_count) == (1 + len(times), 1)
    [first] = execute(database, "SELECT usage_count FROM prompt_daily_stats ORDER BY day LIMIT 1")
    assert first == (len(times),)
    # The night finds nothing different, an update is noted on the day where the event counts.
    assert reconcile(at(database, lake)).repaired == {}
    assert plan_refresh(at(database, lake)).days == []
    execute(database, "UPDATE prompt_usage SET success = true WHERE created_at >= '10000-01-01'")
    refresh(at(database, lake))
    [(successes,)] = execute(database, "SELECT success_count FROM prompt_stats")
    assert successes == 4
    assert plan_refresh(at(database, lake)).days == []
    # They expire with the first day.
    assert retain(at(database, lake), 7).rows == len(times)
    execute(database, "DELETE FROM prompt_usage")
    report = refresh(at(database, lake))
    assert (report.usage_count, report.held_back_count, report.pending_days) == (len(times), 0, [])


def test_temporary_table_of_the_app_does_not_swallow_notes(database: Database, lake: str) -> None:
    append(database, NOW)
    refresh_and_check(database, lake)
    with psycopg.connect(database.conninfo) as app:
        app.execute("CREATE TEMPORARY TABLE prompt_usage_invalidation (day date, operation text)")
        app.execute("DELETE FROM prompt_usage")
    refresh_and_check(database, lake)
    assert counted(database) == 0
