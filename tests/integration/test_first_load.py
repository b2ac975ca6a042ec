"""The first load of a history that an app had before: in pieces, with progress, at a limit, resumed."""

from __future__ import annotations

import datetime as dt
import logging
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.days import ONE_DAY, DayRange
from pipeline.definitions import build_definitions
from pipeline.lake import flow, usage_events
from pipeline.lake.flow import Progress
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.orchestration.instance import EVENT_SETTINGS, run_refresh
from pipeline.orchestration.resources import Stores
from pipeline.refresh import plan_refresh, refresh
from pipeline.settings import settings
from tests.app import at
from tests.cli import invoke
from tests.conftest import FIRST_DAY, NewDatabase
from tests.faults import FIRST_LOAD, KILLED_AFTER, Children
from tests.oracle import assert_equals_recount
from tests.triggers import OFF, ON

TODAY = dt.datetime.now(dt.UTC).date()
EVENTS_PER_DAY = 100
DAYS = [TODAY - number * ONE_DAY for number in range(5, -1, -1)]


def add_history(database: Database) -> None:
    """What an app appended before it had the pipeline: rows without ``ingest_xid``."""
    with psycopg.connect(database.conninfo) as app:
        app.execute(OFF)
        app.execute(
            "INSERT INTO prompt_usage (prompt_id, user_id, success, created_at, ingest_xid)"
            " SELECT md5('prompt')::uuid, gen_random_uuid(), true, day, NULL"
            " FROM unnest(%s::date[]) AS day, generate_series(1, %s)",
            (DAYS, EVENTS_PER_DAY),
        )
        app.execute(ON)


@pytest.fixture
def database(database: Database) -> Database:
    """A database with a history."""
    add_history(database)
    return database


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """Runs processes that can be killed."""
    children = Children()
    yield children
    children.close()


def test_what_is_in_the_lake_is_not_read_again_after_a_kill(
    database: Database,
    new_database: NewDatabase,
    migrated_template: str,
    children: Children,
    tmp_path: Path,
) -> None:
    with new_database(migrated_template) as other:
        add_history(other)
        (tmp_path / "other").mkdir()
        outcome = children.run(FIRST_LOAD, other, str(tmp_path / "other"))
        assert outcome.status == 0, outcome
    appends = [number for number, step in enumerate(outcome.steps, 1) if step == "append usage_events"]
    assert len(appends) == len(DAYS)
    lake = tmp_path / "lake"
    lake.mkdir()
    assert children.run(FIRST_LOAD, database, str(lake), KILLED_AFTER, appends[3]).is_killed
    assert open_usage_events(str(lake)).days()["day"].to_list() == DAYS[:4]

    plan = plan_refresh(at(database, str(lake)))
    assert plan.is_first
    seen: list[Progress] = []
    report = sync_days(at(database, str(lake)), plan.days, progress=seen.append)
    assert report.appended == dict.fromkeys(DAYS[4:], EVENTS_PER_DAY)
    assert (seen[-1].done, seen[-1].total) == (2 * EVENTS_PER_DAY, 2 * EVENTS_PER_DAY)
    refresh(at(database, str(lake)))
    assert_equals_recount(database, FIRST_DAY)


def test_a_run_says_how_far_it_is_and_can_be_broken_off(
    instance: dg.DagsterInstance, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_events, "EVENTS_PER_BATCH", 2 * EVENTS_PER_DAY)
    monkeypatch.setattr(flow.now_and_then, "__defaults__", (0.0,))
    stores.progress = lambda _: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_refresh(build_definitions(stores), instance, DayRange(DAYS[0], DAYS[-1]), replace=False)
    # What was being written is.
    assert open_usage_events(stores.lake).days()["day"].to_list() == DAYS[:2]
    (run,) = instance.get_runs()
    assert run.tags["dagster/max_runtime"] == "0"
    lines = [entry.user_message for entry in instance.all_logs(run.run_id)]
    assert any(line.startswith("200 of 600 events, ") for line in lines)


def test_no_more_rows_a_second_are_read_than_asked(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Those of Dagster are set by the command, for its process.
    for name, value in {
        "DATABASE_URL": database.conninfo,
        "PROMPT_STATS_HOME": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        **EVENT_SETTINGS,
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("PROMPT_STATS_LAKE_URI", "PROMPT_STATS_READ_URL"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    caplog.set_level(logging.INFO, "pipeline")
    try:
        done = invoke("refresh", "--max-rows-per-second", "400")
    finally:
        settings.cache_clear()
    assert done.exit_code == 0, done.output
    (rate,) = re.findall(r"usage_events: 600 of 600 events, (\d+) per second", caplog.text)
    assert 200 < int(rate) <= 400
    assert_equals_recount(database, FIRST_DAY)
