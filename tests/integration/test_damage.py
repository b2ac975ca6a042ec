"""A damaged file of the lake: a refresh makes anew what it can, and who looks is told of the rest."""

from __future__ import annotations

import datetime as dt
import json
import logging
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pipeline.alerts.evaluation import evaluate
from pipeline.answers import reading
from pipeline.database.connections import Database
from pipeline.days import DayRange
from pipeline.definitions import build_definitions
from pipeline.errors import LakeError, LostDaysError
from pipeline.health.checks.catalog import CHECKS, make
from pipeline.lake import periods
from pipeline.lake.partials import USAGE, USERS
from pipeline.lake.upkeep import lake_tables
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.retention import retain
from pipeline.orchestration import jobs
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import TICK
from pipeline.refresh import plan_refresh, refresh
from pipeline.settings import Settings
from tests.api import served
from tests.app import at
from tests.command import prompt_stats
from tests.conftest import FIRST_DAY
from tests.lake_files import (
    delete_files,
    empty_files,
    files_of,
    overwrite_files,
    pipe_files,
    scribble_on_files,
    truncate_files,
)
from tests.oracle import assert_equals_recount

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
RECENT, OLD = TODAY - ONE_DAY, TODAY - 40 * ONE_DAY
PROMPT, USER = uuid.UUID(int=7), uuid.UUID(int=1001)

INSERT = """
    INSERT INTO prompt_usage (prompt_id, user_id, scene, success, created_at) VALUES (%s, %s, %s, %s, %s)
"""

Harm = Callable[[str, str, dt.date | None], None]
HARMS = [delete_files, empty_files, truncate_files, overwrite_files, scribble_on_files, pipe_files]


def append(app: psycopg.Connection, *at: dt.datetime) -> None:
    app.cursor().executemany(INSERT, [(PROMPT, USER, "studio", True, each) for each in at])


def live(app: psycopg.Connection) -> None:
    """Events on a few days of two months."""
    app.execute("INSERT INTO prompts (id, name, template) VALUES (%s, 'a name', 'a template')", (PROMPT,))
    append(app, *(NOW - number * ONE_DAY for number in (0, 1, 5, 39, 40) for _ in range(30)))


def run(database: Database, *at: dt.datetime) -> None:
    with psycopg.connect(database.conninfo) as app:
        append(app, *at)


def found_by(database: Database, lake: str, *names: str) -> dict[str, str]:
    """The checks of these names that failed, and what they say."""
    installation = at(database, lake)
    made = {check.name: make(check, installation) for check in CHECKS if check.name in names}
    return {name: report.summary for name, report in made.items() if not report.passed}


def assert_whole(database: Database, lake: str) -> None:
    assert_equals_recount(database, FIRST_DAY)
    assert found_by(database, lake, "lake_is_whole", "lake_can_be_read") == {}
    assert plan_refresh(at(database, lake)).days == []


@pytest.mark.parametrize("harm", [delete_files, empty_files, truncate_files])
def test_a_refresh_reads_a_quiet_day_again(history: Database, lake: str, harm: Harm) -> None:
    harm(lake, "usage_events", OLD)
    assert f"usage_events of {OLD}" in found_by(history, lake, "lake_is_whole")["lake_is_whole"]
    assert reading.status(at(history, lake))["damaged_days"] == [OLD]
    refresh(at(history, lake))
    assert_whole(history, lake)


@pytest.mark.parametrize("harm", HARMS)
def test_a_refresh_reads_a_day_again_to_which_events_come(history: Database, lake: str, harm: Harm) -> None:
    harm(lake, "usage_events", RECENT)
    run(history, NOW, NOW - ONE_DAY)
    refresh(at(history, lake))
    assert_whole(history, lake)


@pytest.mark.parametrize("harm", [overwrite_files, scribble_on_files])
def test_a_check_finds_what_no_length_shows(history: Database, lake: str, harm: Harm) -> None:
    harm(lake, "usage_events", OLD)
    found = found_by(history, lake, "lake_is_whole", "lake_can_be_read")
    assert ("lake_is_whole" in found) == (harm is overwrite_files)
    assert f"usage_events of {OLD}" in found["lake_can_be_read"]


@pytest.mark.parametrize("harm", [truncate_files, scribble_on_files])
def test_a_refresh_makes_partials_anew(history: Database, lake: str, harm: Harm) -> None:
    harm(lake, USAGE.daily, RECENT)
    for rollup in (USAGE, USERS):
        harm(lake, rollup.monthly, None)
        harm(lake, rollup.total, None)
    assert len(found_by(history, lake, "lake_can_be_read")) == 1
    run(history, NOW)
    # Read anew are those that a publish needs.
    refresh(at(history, lake))
    assert_whole(history, lake)


def test_stats_by_value_are_counted_once_the_day_is_read_again(history: Database, lake: str) -> None:
    scribble_on_files(lake, "usage_events", OLD)
    refresh(at(history, lake), values=True)
    assert_equals_recount(history, FIRST_DAY)
    # Until the next one the day is noted.
    refresh(at(history, lake))
    assert_whole(history, lake)


def test_alerts_go_on_without_the_day(history: Database, lake: str, caplog: pytest.LogCaptureFixture) -> None:
    scribble_on_files(lake, "usage_events", RECENT)
    done = evaluate(history, Settings.model_validate({"PROMPT_STATS_LAKE_URI": lake}))
    assert list(done.left_out) == [RECENT]
    assert done.tested
    assert f"{RECENT}" in caplog.text
    # They noted it.
    assert plan_refresh(at(history, lake)).days == [RECENT]
    refresh(at(history, lake))
    assert_whole(history, lake)


def test_an_expired_day_is_named_by_all_until_it_is_restored(
    history: Database, lake: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    retain(at(history, lake), days=10)
    backup = tmp_path / "backup"
    shutil.copytree(lake, backup)
    overwrite_files(lake, "usage_events", OLD)
    truncate_files(lake, "usage_events", OLD + ONE_DAY)
    run(history, NOW, NOW - 40 * ONE_DAY)
    for _ in range(2):
        with pytest.raises(
            LakeError, match=rf"Processing 2 days, the first of them {OLD}: .*backup"
        ) as raised:
            refresh(at(history, lake))
        assert "tries these again" not in str(raised.value)
    lost = [OLD, OLD + ONE_DAY]
    status = reading.status(at(history, lake))
    assert (status["usage_count"], status["damaged_days"]) == (151, lost)
    assert all("lake's backup" in each["remedy"] for each in status["damage"])
    said = found_by(history, lake, "lake_is_whole")["lake_is_whole"]
    assert all(f"{day}" in said for day in lost)
    with served(history, PROMPT_STATS_LAKE_URI=lake) as client:
        metrics = client.get("/metrics").text
        assert all(f'damaged_day{{day="{day}",remedy="Restore' in metrics for day in lost)
        assert [each["day"] for each in client.get("/status").json()["damage"]] == [f"{day}" for day in lost]
    given = {
        "DATABASE_URL": history.conninfo,
        "PROMPT_STATS_LAKE_URI": lake,
        "PROMPT_STATS_START_DATE": f"{FIRST_DAY}",
    }
    doctor = json.loads(prompt_stats(tmp_path, "doctor", "--json", **given).stdout)
    wrong = [each["summary"] for each in doctor if each["name"] == "lake's files"]
    assert len(wrong) == len(lost)
    with caplog.at_level(logging.WARNING):
        for day in lost:
            for file in files_of(lake, "usage_events", day):
                shutil.copy(backup / file.relative_to(lake), file)
        refresh(at(history, lake))
    assert f"{OLD}: the lake has the whole day again" in caplog.text
    assert reading.status(at(history, lake))["damaged_days"] == []
    assert reading.status(at(history, lake))["usage_count"] == 152


def test_the_stats_of_users_wait_where_they_need_a_lost_day(
    history: Database, lake: str, tmp_path: Path
) -> None:
    retain(at(history, lake), days=10)
    backup = tmp_path / "backup"
    shutil.copytree(lake, backup)
    truncate_files(lake, "usage_events", OLD)
    for table in (USERS.monthly, USERS.total):
        delete_files(lake, table)
    run(history, NOW)
    counts = "SELECT sum(usage_count)::int FROM {}_stats"
    for _ in range(2):
        with pytest.raises(LostDaysError):
            refresh(at(history, lake))
        with psycopg.connect(history.conninfo) as app:
            assert app.execute(counts.format("prompt").encode()).fetchone() == (151,)
            assert app.execute(counts.format("user_prompt").encode()).fetchone() == (150,)
        status = reading.status(at(history, lake))
        assert status["user_stats_as_of"] < status["as_of"]
    for file in files_of(lake, "usage_events", OLD):
        shutil.copy(backup / file.relative_to(lake), file)
    refresh(at(history, lake))
    with psycopg.connect(history.conninfo) as app:
        assert app.execute(counts.format("user_prompt").encode()).fetchone() == (151,)


def test_the_stats_of_users_go_on_where_a_month_has_the_lost_day(
    history: Database, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(periods, "UNSETTLED_EVENTS", 1_000)
    for table in (USERS.monthly, USERS.total):
        delete_files(lake, table)
    refresh(at(history, lake))
    assert OLD in periods.State(lake, USERS).uncovered
    retain(at(history, lake), days=10)
    refresh(at(history, lake))
    assert OLD not in periods.State(lake, USERS).uncovered
    truncate_files(lake, "usage_events", OLD)
    run(history, NOW)
    with pytest.raises(LostDaysError):
        refresh(at(history, lake))
    with psycopg.connect(history.conninfo) as app:
        assert app.execute("SELECT sum(usage_count)::int FROM user_prompt_stats").fetchone() == (151,)


def test_a_person_leaves_the_stats_of_users_that_wait_for_a_lost_day(history: Database, lake: str) -> None:
    leaver = uuid.UUID(int=1002)
    with psycopg.connect(history.conninfo) as app:
        app.execute(INSERT, (PROMPT, leaver, "studio", True, NOW))
    refresh(at(history, lake))
    retain(at(history, lake), days=10)
    truncate_files(lake, "usage_events", OLD)
    for table in (USERS.monthly, USERS.total):
        delete_files(lake, table)
    report = erase_user(at(history, lake), str(leaver))
    assert report.found == {}
    with psycopg.connect(history.conninfo) as app:
        assert app.execute("SELECT user_id FROM user_prompt_stats").fetchall() == [(USER,)]


def test_a_lost_day_does_not_keep_the_others_from_an_erasure(history: Database, lake: str) -> None:
    retain(at(history, lake), days=10)
    truncate_files(lake, "usage_events", OLD)
    report = erase_user(at(history, lake), str(USER))
    assert list(report.unread) != []
    assert any(f"{OLD}" in place for place in report.unread)
    assert report.events == 120
    with psycopg.connect(history.conninfo) as app:
        days = app.execute("SELECT DISTINCT day FROM prompt_daily_stats").fetchall()
    assert days == [(OLD,)]


def test_a_run_of_the_schedule_repairs_or_fails_and_says_so(history: Database, lake: str) -> None:
    retain(at(history, lake), days=10)
    truncate_files(lake, "usage_events", OLD)
    scribble_on_files(lake, "usage_events", TODAY)
    run(history, NOW)
    values = {"PROMPT_STATS_LAKE_URI": lake, "PROMPT_STATS_START_DATE": FIRST_DAY}
    stores = Stores(Settings.model_validate(values), history)
    definitions = build_definitions(stores)
    keys = jobs.keys_of_tick(users=False)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(jobs.JOB).execute_in_process(
            instance=instance,
            tags=jobs.range_tags(DayRange(TODAY, TODAY), TICK),
            run_config=jobs.run_config(replace=False, users=False),
            asset_selection=sorted(keys),
            raise_on_error=False,
        )
        assert not result.success
        failures = [event.step_failure_data.error for event in result.get_step_failure_events()]
        assert [f"{OLD}" in str(error) and "backup" in str(error) for error in failures] == [True]
        repaired = [
            str(value.value)
            for event in instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
            if event.asset_materialization
            and (value := event.asset_materialization.metadata.get("days_repaired"))
        ]
        assert any(f"{TODAY}" in each for each in repaired)
    assert list(stores.repaired) == [TODAY]
    status = reading.status(at(history, lake))
    assert (status["usage_count"], status["damaged_days"]) == (151, [OLD])


def test_the_command_says_what_it_repaired(history: Database, lake: str, tmp_path: Path) -> None:
    truncate_files(lake, "usage_events", RECENT)
    given = {
        "DATABASE_URL": history.conninfo,
        "PROMPT_STATS_LAKE_URI": lake,
        "PROMPT_STATS_START_DATE": f"{FIRST_DAY}",
    }
    done = prompt_stats(tmp_path, "refresh", **given)
    assert done.returncode == 0, done.stderr
    assert f"repaired {RECENT}: usage_events/day={RECENT}/" in done.stderr
    assert done.stderr.count(f"usage_events/day={RECENT}/") == 1
    assert_whole(history, lake)


def test_every_table_is_looked_at(history: Database, lake: str) -> None:
    for table in lake_tables(lake):
        delete_files(lake, table.name)
    tables = {each["table"] for each in reading.status(at(history, lake))["damage"]}
    assert tables == {table.name for table in lake_tables(lake)}
    refresh(at(history, lake))
    assert_whole(history, lake)


@pytest.mark.parametrize("harm", [overwrite_files, scribble_on_files])
def test_raw_events_that_only_the_stats_of_users_read_leave_no_day_uncompleted(
    database: Database, lake: str, harm: Harm
) -> None:
    """A tick counts an event; the disk harms its day; then the hour's tick reads the day for the users."""
    with psycopg.connect(database.conninfo) as app:
        append(app, NOW)
    refresh(at(database, lake), users=False)
    harm(lake, "usage_events", TODAY)
    assert refresh(at(database, lake)).pending_days == []
    assert reading.status(at(database, lake))["damaged_days"] == []
    assert_equals_recount(database, FIRST_DAY)
