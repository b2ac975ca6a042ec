"""Reconcile finds what no refresh was told of, repairs it, and says so."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from deltalake import DeltaTable

from pipeline.database import Database
from pipeline.lake.partials import USAGE, USERS
from pipeline.reconcile import reconcile
from tests.conftest import FIRST_DAY, NewDatabase
from tests.lake_files import delete_files, scribble_on_files, truncate_files
from tests.oracle import assert_equals_recount
from tests.published import Published, publish
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


@pytest.fixture(scope="module")
def published(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Published]:
    """The events, counted."""
    with publish(new_database, migrated_template, tmp_path_factory.mktemp("lake"), live) as published:
        yield published


@pytest.fixture
def history(published: Published, lake: str) -> Iterator[Database]:
    """The same for a test alone."""
    with published.copy(lake) as database:
        yield database


def test_nothing_is_found_where_nothing_is_wrong(history: Database, lake: str) -> None:
    report = reconcile(history, lake, FIRST_DAY)
    assert report.events == 17
    assert (report.repaired, report.rebuilt, report.lost, report.rows_corrected) == ({}, {}, {}, {})


def test_what_the_app_deletes_is_no_fault(history: Database, lake: str) -> None:
    with psycopg.connect(history.conninfo) as app:
        app.execute("DELETE FROM prompt_usage WHERE user_id IS NULL")
    report = reconcile(history, lake, FIRST_DAY)
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
    report = reconcile(history, lake, FIRST_DAY)
    assert list(report.repaired) == [day]
    assert reconcile(history, lake, FIRST_DAY).repaired == {}
    assert_equals_recount(history, FIRST_DAY)


@pytest.mark.parametrize(
    ("harm", "table"),
    [(delete_files, USAGE.daily), (truncate_files, USERS.daily), (scribble_on_files, USAGE.daily)],
)
def test_damaged_partials_are_made_anew(
    history: Database, lake: str, harm: Callable[[str, str, dt.date], None], table: str
) -> None:
    harm(lake, table, OLD)
    report = reconcile(history, lake, FIRST_DAY)
    assert report.rebuilt[table] == [OLD]
    assert reconcile(history, lake, FIRST_DAY).rebuilt == {}
    assert_equals_recount(history, FIRST_DAY)


@pytest.mark.parametrize("table", [USAGE.monthly, USAGE.total, USERS.monthly, USERS.total])
def test_damaged_period_is_made_anew(history: Database, lake: str, table: str) -> None:
    periods = DeltaTable(f"{lake}/{table}")
    assert periods.file_uris()
    for uri in periods.file_uris():
        Path(uri.removeprefix("file://")).write_bytes(b"no Parquet")
    report = reconcile(history, lake, FIRST_DAY)
    assert table in report.rebuilt
    assert_equals_recount(history, FIRST_DAY)


def test_partition_removed_from_the_log_is_read_again(history: Database, lake: str) -> None:
    DeltaTable(f"{lake}/usage_events").delete(f"day = '{OLD}'")
    report = reconcile(history, lake, FIRST_DAY)
    assert report.repaired == {OLD: "Postgres has 3 events and the lake 0"}
    assert_equals_recount(history, FIRST_DAY)


def test_rows_lost_from_the_middle_of_a_day_are_read_again(history: Database, lake: str) -> None:
    DeltaTable(f"{lake}/usage_events").delete(f"day = '{OLD}' AND scene IS NULL")
    report = reconcile(history, lake, FIRST_DAY)
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
    report = reconcile(history, lake, FIRST_DAY)
    assert len(report.repaired) >= 5
    assert_equals_recount(history, FIRST_DAY)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE prompt_daily_stats SET usage_count = 99",
        "DELETE FROM prompt_scene_stats",
        "UPDATE user_prompt_stats SET usage_count = usage_count + 1",
        "DELETE FROM user_prompt_stats",
        "UPDATE prompts SET usage_count = 7",
    ],
)
def test_stats_edited_by_hand_are_corrected(history: Database, lake: str, change: str) -> None:
    with psycopg.connect(history.conninfo) as operator:
        operator.execute(change.encode())
    report = reconcile(history, lake, FIRST_DAY)
    assert report.repaired == {}
    assert report.rows_corrected
    assert_equals_recount(history, FIRST_DAY)
