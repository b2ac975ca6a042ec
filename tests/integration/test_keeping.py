"""The commands and the nightly jobs that keep the data true, small and lawful."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline.database.connections import Database
from pipeline.definitions import build_definitions
from pipeline.errors import InputError
from pipeline.lake import usage_events
from pipeline.lake.upkeep import compact, keep_up
from pipeline.lake.usage_events import open_usage_events
from pipeline.maintenance.retention import retain
from pipeline.orchestration.keeping import RECONCILE_JOB, RETAIN_JOB, retain_events_schedule
from pipeline.orchestration.resources import Stores
from pipeline.refresh import refresh
from pipeline.settings import Settings
from tests.app import at
from tests.command import answer, environment, prompt_stats
from tests.conftest import FIRST_DAY
from tests.lake import open_to_write
from tests.oracle import assert_equals_recount

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
PROMPT = uuid.UUID(int=7)
PERSON = uuid.uuid4()

INSERT = "INSERT INTO prompt_usage (prompt_id, user_id, created_at) VALUES (%s, %s, %s)"


def append(database: Database, *ages: int) -> None:
    """An event at each age."""
    with psycopg.connect(database.conninfo) as app:
        app.cursor().executemany(INSERT, [(PROMPT, PERSON, NOW - age * ONE_DAY) for age in ages])


def lose(database: Database, lake: str, day: dt.date) -> None:
    """A partition goes."""
    table = open_to_write(database, lake)
    table.replace([day], table.schema.empty_table())


def files(lake: str, day: dt.date) -> int:
    """The files of a day."""
    held = dict(open_usage_events(lake).days().select("day", "files").iter_rows())
    return int(held[day])


def stores(database: Database, lake: str, retain_days: int | None = None) -> Stores:
    """The test's database and lake."""
    values = {
        "PROMPT_STATS_LAKE_URI": lake,
        "PROMPT_STATS_START_DATE": FIRST_DAY,
        "PROMPT_STATS_RETAIN_DAYS": retain_days,
    }
    return Stores(Settings.model_validate(values), database)


def at_terminal(home: Path, typed: bytes, *arguments: str, **variables: str) -> int:
    """How ``prompt-stats …`` ended for somebody who typed an answer."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, typed)
    try:
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(
            command, stdin=terminal, env=environment(home, **variables), check=False
        ).returncode
    finally:
        os.close(terminal)
        os.close(keyboard)


def test_commands(database: Database, lake: str, tmp_path: Path) -> None:
    append(database, 0, 1, 40)
    refresh(at(database, lake))
    lose(database, lake, TODAY - ONE_DAY)
    given = {"DATABASE_URL": database.conninfo, "PROMPT_STATS_LAKE_URI": lake}

    reconciled = answer(tmp_path, "reconcile", **given)
    kept = answer(tmp_path, "keep-up", **given)
    retained = answer(tmp_path, "retain", "--days", "5", **given)
    unasked = prompt_stats(tmp_path, "erase-user", str(PERSON), **given)
    assert (unasked.returncode, "Pass --yes" in unasked.stderr) == (2, True)
    assert at_terminal(tmp_path, b"n\n", "erase-user", str(PERSON), **given) == 1
    erased = answer(tmp_path, "erase-user", str(PERSON), "--yes", **given)

    assert list(reconciled["repaired"]) == [(TODAY - ONE_DAY).isoformat()]
    assert kept == {"files_joined": 0, "files_deleted": 0}
    assert (retained["expired"], retained["rows"]) == ([(TODAY - 40 * ONE_DAY).isoformat()], 1)
    assert (erased["rows"]["prompt_usage"], erased["events"], erased["found"]) == (2, 3, {})
    assert prompt_stats(tmp_path, "erase-user", "nobody", "--yes", **given).returncode == 1


def test_a_damaged_file_is_said_in_words(database: Database, lake: str, tmp_path: Path) -> None:
    append(database, 0, 1, 40)
    refresh(at(database, lake))
    retain(at(database, lake), days=5)
    given = {"DATABASE_URL": database.conninfo, "PROMPT_STATS_LAKE_URI": lake, "COLUMNS": "300"}
    for day in (TODAY - ONE_DAY, TODAY - 40 * ONE_DAY):
        for file in Path(lake, "usage_events", f"day={day}").iterdir():
            file.unlink()

    reconciled = prompt_stats(tmp_path, "reconcile", **given)
    status = prompt_stats(tmp_path, "status", **given)

    assert reconciled.returncode == 1
    assert f"read again: {TODAY - ONE_DAY}" in reconciled.stdout
    assert "Restore these days of usage_events from the lake's backup" in reconciled.stderr
    assert "Traceback" not in reconciled.stderr
    assert f"usage_events of {TODAY - 40 * ONE_DAY}: Restore this day" in status.stdout


def test_reconcile_lake_repairs_and_keep_up_follows(database: Database, lake: str) -> None:
    append(database, 0, 9)
    refresh(at(database, lake))
    lose(database, lake, TODAY - 9 * ONE_DAY)
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(stores(database, lake)).resolve_job_def(RECONCILE_JOB)
        assert job.execute_in_process(instance=instance).success
    assert_equals_recount(database, FIRST_DAY)


@pytest.mark.parametrize("days", [None, 5])
def test_retention_is_off_unless_days_are_given(database: Database, lake: str, days: int | None) -> None:
    append(database, 0, 9)
    with dg.DagsterInstance.ephemeral() as instance:
        given = stores(database, lake, days)
        context = dg.build_schedule_context(instance=instance, resources={"stores": given})
        with context:
            ticked = retain_events_schedule.evaluate_tick(context)
        assert bool(ticked.skip_message) == (days is None)
        for request in ticked.run_requests or []:
            job = build_definitions(given).resolve_job_def(RETAIN_JOB)
            assert job.execute_in_process(instance=instance, run_config=request.run_config).success
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute("SELECT count(*) FROM prompt_usage").fetchone()
    assert row == (2 if days is None else 1,)


@pytest.mark.parametrize(
    ("configured", "named", "why"),
    [
        (None, {}, "PROMPT_STATS_RETAIN_DAYS is not set"),
        (9, {}, "PROMPT_STATS_RETAIN_DAYS is now 9"),
        (5, {"database": "db.example:5432/app"}, "the database is "),
    ],
)
def test_a_launch_that_confirms_something_else_touches_nothing(
    database: Database, lake: str, configured: int | None, named: dict[str, str], why: str
) -> None:
    """As one of last year that is executed again, or one of a copy of this Dagster."""
    append(database, 0, 40)
    given = stores(database, lake, configured)
    config = {"days": 5, "database": database.address(), **named}
    job = build_definitions(given).resolve_job_def(RETAIN_JOB)
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(InputError, match=re.escape(why)):
        job.execute_in_process(instance=instance, run_config={"ops": {"retain": {"config": config}}})
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM prompt_usage), (SELECT count(*) FROM stats_refresh)"
        ).fetchone()
    assert row == (2, 0)
    assert not Path(lake).exists()


def test_a_launch_without_a_confirmation_is_not_accepted(database: Database, lake: str) -> None:
    job = build_definitions(stores(database, lake, 5)).resolve_job_def(RETAIN_JOB)
    for config in ({}, {"days": 5}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            job.execute_in_process(run_config={"ops": {"retain": {"config": config}}})


def test_a_confirmation_holds_no_password(database: Database) -> None:
    given = conninfo_to_dict(database.conninfo)
    assert given["password"]
    assert database.address() == f"{given['host']}:{given['port']}/{given['dbname']}"


def test_small_files_of_a_day_are_joined(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_events, "FILES_PER_DAY", 4)
    counts = set()
    for _ in range(6):
        append(database, 0, 9)
        refresh(at(database, lake), users=False)
        counts.add(files(lake, TODAY))
    assert counts == {1, 2, 3, 4}
    refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)


def test_quiet_days_become_one_file(database: Database, lake: str) -> None:
    for _ in range(3):
        append(database, 0, 9)
        refresh(at(database, lake))
    assert compact(at(database, lake)) == 3
    assert (files(lake, TODAY), files(lake, TODAY - 9 * ONE_DAY)) == (3, 1)
    refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)
    assert keep_up(at(database, lake)).files_joined == 0
