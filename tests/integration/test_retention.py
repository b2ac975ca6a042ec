"""Raw rows go once the lake has them, and no number changes, whatever comes later for their days."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline.answers import reading
from pipeline.database.connections import Database
from pipeline.errors import DatabaseError, InputError, LakeError, LostDaysError
from pipeline.lake.usage_events import claim_lake, open_usage_events
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.publish.values import publish_values
from pipeline.refresh import plan_refresh, refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.lake import open_to_write
from tests.statements import run

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
PROMPT = uuid.UUID(int=7)
AGES = (0, 1, 2, 9, 10, 40, None, 4000)

INSERT = "INSERT INTO prompt_usage (id, prompt_id, user_id, success, created_at) VALUES (%s, %s, %s, %s, %s)"

PUBLISHED = """
    SELECT jsonb_agg(jsonb_build_array(usage_count, success_count, unique_users, first_used_at, last_used_at))
        FROM prompt_stats
    UNION ALL SELECT jsonb_agg(to_jsonb(days) ORDER BY day) FROM prompt_daily_stats AS days
    UNION ALL SELECT jsonb_agg(to_jsonb(users) ORDER BY user_id) FROM user_prompt_stats AS users
"""


def time_of(age: int | None) -> dt.datetime | None:
    """The time of an event so many days ago; none is undated."""
    return None if age is None else NOW - age * ONE_DAY


def live(app: psycopg.Connection) -> None:
    """Two events at each age."""
    for number, age in enumerate(AGES * 2):
        app.execute(INSERT, (uuid.UUID(int=number), PROMPT, uuid.UUID(int=number % 5), True, time_of(age)))


def published(database: Database) -> list[Any]:
    """What readers see."""
    with psycopg.connect(database.conninfo) as connection:
        return connection.execute(PUBLISHED.encode()).fetchall()


def raw_count(database: Database) -> int:
    """The raw rows in Postgres."""
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute("SELECT count(*) FROM prompt_usage").fetchone()
    assert row
    return int(row[0])


def test_old_rows_go_and_no_number_changes(history: Database, lake: str) -> None:
    before = published(history)
    report = retain(at(history, lake), days=5)
    assert (raw_count(history), report.rows, report.kept) == (6, 10, {})
    assert report.expired == [FIRST_DAY, *(TODAY - age * ONE_DAY for age in (40, 10, 9))]
    for _ in range(2):
        refresh(at(history, lake))
        assert published(history) == before
    assert plan_refresh(at(history, lake)).days == []
    assert retain(at(history, lake), days=5).rows == 0
    reconciled = reconcile(at(history, lake))
    assert (reconciled.repaired, reconciled.lost) == ({}, {})
    assert published(history) == before


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM prompt_usage WHERE created_at < CURRENT_DATE - 5 OR created_at IS NULL",
        "UPDATE prompt_usage SET success = false WHERE created_at < CURRENT_DATE - 5",
    ],
)
def test_change_of_what_is_left_of_an_expired_day_has_no_effect(
    history: Database, lake: str, change: str
) -> None:
    before = published(history)
    retain(at(history, lake), days=5)
    run(history, INSERT, (uuid.UUID(int=3), PROMPT, uuid.UUID(int=3), True, time_of(9)))
    run(history, change)
    assert refresh(at(history, lake)).pending_days == []
    assert published(history) == before


def test_truncate_empties_only_the_days_that_postgres_has(history: Database, lake: str) -> None:
    retain(at(history, lake), days=5)
    run(history, "TRUNCATE prompt_usage")
    report = refresh(at(history, lake))
    assert (report.usage_count, report.pending_days) == (10, [])
    assert plan_refresh(at(history, lake)).days == []


def test_backfill_does_not_wipe_expired_days(history: Database, lake: str) -> None:
    before = published(history)
    retain(at(history, lake), days=5)
    days = [FIRST_DAY, *(TODAY - age * ONE_DAY for age in range(41))]
    refresh(at(history, lake), days, replace=True)
    assert published(history) == before


@pytest.mark.parametrize("age", [9, 40, None])
def test_stray_event_of_an_expired_day_is_added(history: Database, lake: str, age: int | None) -> None:
    retain(at(history, lake), days=5)
    run(history, INSERT, (uuid.uuid4(), PROMPT, None, True, time_of(age)))
    assert refresh(at(history, lake)).usage_count == 17
    assert plan_refresh(at(history, lake)).days == []
    assert retain(at(history, lake), days=5).rows == 1
    assert refresh(at(history, lake)).usage_count == 17


def test_retried_event_of_an_expired_day_counts_once(history: Database, lake: str) -> None:
    before = published(history)
    retain(at(history, lake), days=5)
    for number, age in enumerate(AGES):
        if age in {9, 40, None}:
            run(history, INSERT, (uuid.UUID(int=number), PROMPT, uuid.UUID(int=number), True, time_of(age)))
    assert refresh(at(history, lake)).pending_days == []
    assert published(history) == before
    assert plan_refresh(at(history, lake)).days == []
    assert retain(at(history, lake), days=5).rows == 3


def test_day_that_the_lake_does_not_hold_whole_is_kept(history: Database, lake: str) -> None:
    DeltaTable(f"{lake}/usage_events").delete(f"day = '{TODAY - 40 * ONE_DAY}' AND id LIKE '%5'")
    report = retain(at(history, lake), days=5)
    assert list(report.kept) == [TODAY - 40 * ONE_DAY]
    assert raw_count(history) == 8


def test_nothing_expires_while_a_writer_is_at_work(history: Database, lake: str) -> None:
    with psycopg.connect(history.conninfo) as app:
        app.execute("DELETE FROM prompt_usage WHERE user_id = %s", (uuid.UUID(int=1),))
        with pytest.raises(DatabaseError, match=r"prompt_usage.* is held \(RowExclusiveLock\) by pid "):
            retain(at(history, lake), days=5)
    assert retain(at(history, lake), days=5).kept == {}
    assert refresh(at(history, lake)).usage_count == 13


def test_lost_expired_days_are_not_published_as_nothing(history: Database, lake: str, tmp_path: Path) -> None:
    before = published(history)
    retain(at(history, lake), days=5)
    with pytest.raises(LakeError, match="4 days whose raw rows were removed"):
        refresh(at(history, str(tmp_path / "another")))
    assert published(history) == before
    backup = tmp_path / "backup"
    shutil.copytree(lake, backup)
    DeltaTable(f"{lake}/usage_events").delete(f"day = '{TODAY - 40 * ONE_DAY}'")
    assert list(reconcile(at(history, lake)).lost) == [TODAY - 40 * ONE_DAY]
    assert published(history) == before
    assert reading.status(at(history, lake))["damaged_days"] == [TODAY - 40 * ONE_DAY]
    assert reconcile(at(history, str(backup))).lost == {}
    assert published(history) == before
    assert reading.status(at(history, str(backup)))["damaged_days"] == []


CHANGES = {
    "update": "UPDATE prompt_usage SET success = false WHERE created_at::date = current_date - 40",
    "delete": "DELETE FROM prompt_usage WHERE created_at::date = current_date - 40 AND id::text ~ '5$'",
}


def put_back(backup: Path, lake: str) -> None:
    shutil.rmtree(lake)
    shutil.copytree(backup, lake)


@pytest.mark.parametrize("change", [*CHANGES, "erasure", "erasure of expired days"])
def test_an_older_lake_is_not_published(history: Database, lake: str, tmp_path: Path, change: str) -> None:
    older, right = tmp_path / "older", tmp_path / "right"
    if change == "erasure of expired days":
        retain(at(history, lake), days=5)
    shutil.copytree(lake, older)
    if change in CHANGES:
        run(history, CHANGES[change])
    else:
        # The event that is 40 days old, and others.
        erase_user(at(history, lake), str(uuid.UUID(int=3)))
    retain(at(history, lake), days=5)
    assert reconcile(at(history, lake)).lost == {}
    before = published(history)
    shutil.copytree(lake, right)
    put_back(older, lake)
    for step in (refresh, reconcile, refresh):
        with pytest.raises(LostDaysError, match=f"{TODAY - 40 * ONE_DAY}.*claim-lake --discard"):
            step(at(history, lake))
        assert published(history) == before
    assert TODAY - 40 * ONE_DAY in reading.status(at(history, lake))["damaged_days"]
    put_back(right, lake)
    refresh(at(history, lake))
    assert reconcile(at(history, lake)).lost == {}
    assert reading.status(at(history, lake))["damaged_days"] == []
    assert published(history) == before


def test_a_claimed_lake_is_right_as_it_is(history: Database, lake: str, tmp_path: Path) -> None:
    before = published(history)
    shutil.copytree(lake, tmp_path / "older")
    run(history, CHANGES["update"])
    retain(at(history, lake), days=5)
    assert published(history) != before
    put_back(tmp_path / "older", lake)
    with pytest.raises(LostDaysError):
        claim_lake(at(history, lake))
    assert claim_lake(at(history, lake), discard=True)
    refresh(at(history, lake))
    assert reconcile(at(history, lake)).lost == {}
    assert published(history) == before


def test_other_values_of_an_expired_day_are_found(history: Database, lake: str) -> None:
    retain(at(history, lake), days=5)
    # As of a version that kept none.
    run(history, "UPDATE stats_expired_day SET checksum = NULL")
    assert reconcile(at(history, lake)).lost == {}
    # Events come, after which it is another one.
    run(history, INSERT, (uuid.uuid4(), PROMPT, None, True, time_of(40)))
    refresh(at(history, lake))
    assert reconcile(at(history, lake)).lost == {}
    before = published(history)
    day = TODAY - 40 * ONE_DAY
    right = open_usage_events(lake).read([day]).to_table()
    others = pa.array([False] * right.num_rows)
    wrong = right.set_column(right.schema.get_field_index("success"), "success", others)
    open_to_write(history, lake).replace([day], wrong)
    assert list(reconcile(at(history, lake)).lost) == [day]
    # What comes for it is not added until it is right.
    run(history, INSERT, (uuid.uuid4(), PROMPT, None, True, time_of(40)))
    with pytest.raises(LostDaysError, match="other values"):
        refresh(at(history, lake))
    assert published(history) == before
    open_to_write(history, lake).replace([day], right)
    assert refresh(at(history, lake)).usage_count == 18
    assert reconcile(at(history, lake)).lost == {}


COMES: dict[str, Callable[[Database, str], object]] = {
    "nothing": lambda _history, _lake: None,
    "a late event": lambda history, _lake: run(
        history, INSERT, (uuid.uuid4(), PROMPT, None, True, time_of(40))
    ),
    "an erasure": lambda history, lake: erase_user(at(history, lake), str(uuid.UUID(int=3))),
}


@pytest.mark.parametrize("comes", COMES.values(), ids=COMES)
def test_what_another_writer_made_of_an_expired_day_is_not_published(
    history: Database, lake: str, comes: Callable[[Database, str], object]
) -> None:
    retain(at(history, lake), days=5)
    refresh(at(history, lake), values=True)
    day = TODAY - 40 * ONE_DAY
    right = open_usage_events(lake).read([day]).to_table()
    nobody = pa.array([False] * right.num_rows)
    wrong = right.set_column(right.schema.get_field_index("success"), "success", nobody)
    write_deltalake(f"{lake}/usage_events", wrong, mode="overwrite", predicate=f"day = '{day}'")
    comes(history, lake)
    for _ in range(2):
        with pytest.raises(LostDaysError, match=f"{day}: The lake holds"):
            refresh(at(history, lake))
    with pytest.raises(LostDaysError, match="Counting by scene"):
        publish_values(at(history, lake))
    with psycopg.connect(history.conninfo) as reader:
        counts = "SELECT usage_count, success_count FROM prompt_daily_stats WHERE day = %s"
        assert reader.execute(counts, (day,)).fetchall() == [(2, 2)]
    assert list(reconcile(at(history, lake)).lost) == [day]


def test_at_least_a_day_is_kept(database: Database, lake: str) -> None:
    with pytest.raises(InputError):
        retain(at(database, lake), days=0)
