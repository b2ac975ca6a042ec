"""A lake in a bucket: all that the pipeline does, two writers at once, and a store that fails in between.

After each fault a refresh is right, or it says what failed and the next one is right.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pyarrow as pa
import pytest
from pyarrow import fs

from pipeline.answers import reading
from pipeline.database.connections import Database
from pipeline.errors import LakeConflictError, LakeError, LakeOwnerError, LostDaysError, PromptStatsError
from pipeline.health.checks.catalog import CHECKS, make
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import USAGE
from pipeline.lake.upkeep import clean, damage_of, keep_up
from pipeline.lake.usage_events import claim_lake, open_usage_events
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.refresh import refresh
from tests.app import at
from tests.buckets import (
    BUSY,
    CUT,
    DENIED,
    DROPPED,
    ERROR,
    LATE_ERROR,
    SLOW,
    Buckets,
    Fault,
    buckets,
)
from tests.conftest import FIRST_DAY, NewDatabase
from tests.lake_files import delete_files, scribble_on_files, truncate_files
from tests.oracle import assert_equals_recount
from tests.statements import run

TODAY = dt.datetime.now(dt.UTC).date()
ONE_DAY = dt.timedelta(days=1)
PROMPT, PERSON = uuid.UUID(int=7), uuid.uuid4()
APPEND = """
    INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, created_at)
    SELECT %s, %s, 'studio', true, age * 1000, now() - age * interval '1 day' FROM unnest(%s::int[]) AS age
"""
SCHEMA = pa.schema(
    [("id", pa.string()), ("ingest_xid", pa.int64()), ("synced_high", pa.int64()), ("day", pa.date32())]
)
LOG, DATA, LIST = r"/usage_events/_delta_log/\d+\.json", r"/usage_events/day=.*\.parquet", "list-type="


@pytest.fixture(scope="module")
def store() -> Iterator[Buckets]:
    """The module's server."""
    with buckets() as store:
        yield store


@pytest.fixture(autouse=True)
def found(store: Buckets, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test finds the store, and leaves no fault behind."""
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    yield
    store.fail()


@pytest.fixture
def lake() -> str:
    """A prefix of its own."""
    return f"s3://lakes/{uuid.uuid4().hex}"


def append(database: Database, *ages: int, user: uuid.UUID | None = None) -> None:
    """An event of each age, in days."""
    run(database, APPEND, (PROMPT, user, list(ages)))


def copy_of(lake: str) -> str:
    """The same objects at another place, as a backup puts them."""
    copy = f"{lake}-copy"
    files, root = fs.FileSystem.from_uri(lake)
    fs.copy_files(root, f"{root}-copy", files, files)
    return copy


def test_the_life_of_a_lake(
    database: Database, new_database: NewDatabase, migrated_template: str, store: Buckets, lake: str
) -> None:
    append(database, 0, 33, 34)
    append(database, 0, 33, user=PERSON)
    refresh(at(database, lake))

    append(database, 0, 33)
    run(database, "DELETE FROM prompt_usage WHERE created_at::date = %s", (TODAY - 34 * ONE_DAY,))
    refresh(at(database, lake), values=True)
    assert_equals_recount(database, FIRST_DAY)
    versions = dict(open_usage_events(lake).days().select("day", "version").iter_rows())

    report = keep_up(at(database, lake))
    assert (report.files_joined, report.files_deleted) == (2, 0)
    events = open_usage_events(lake)
    assert events.days()["version"].to_list() != list(versions.values())
    earlier = events.as_it_was(versions)
    assert earlier
    assert earlier.read().count_rows() == events.read().count_rows() == 6
    sizes = events.sizes()
    assert (sizes.files, sizes.bytes > 1000, sizes.log_files > 3) == (3, True, True)
    refresh(at(database, lake), users=False)
    done = reconcile(at(database, lake))
    assert (done.repaired, done.rebuilt, done.lost, done.rows_corrected) == ({}, {}, {}, {})

    assert retain(at(database, lake), 10).expired == [TODAY - 33 * ONE_DAY]
    older = copy_of(lake)
    append(database, 33, user=PERSON)
    store.fail(Fault(DENIED, "GET", DATA, times=10**6))
    with pytest.raises(LakeError, match="ACCESS_DENIED") as raised:
        refresh(at(database, lake), users=False)
    assert not isinstance(raised.value, LostDaysError)
    store.fail()
    assert count(database, "stats_expired_day WHERE damaged_at IS NOT NULL") == 0
    assert refresh(at(database, lake), users=False).usage_count == 7
    with pytest.raises(LostDaysError, match="does not hold expired days as they were"):
        refresh(at(database, older))
    assert erase_user(at(database, lake), str(PERSON)).found == {}
    assert published(database) == 4

    with new_database(migrated_template) as other:
        append(other, 0)
        with pytest.raises(LakeOwnerError, match="another database"):
            refresh(at(other, lake), users=False)
        assert claim_lake(at(other, lake), discard=True)
        assert refresh(at(other, lake), users=False).usage_count == 1
    with pytest.raises(LakeOwnerError, match="another database"):
        refresh(at(database, lake))


def test_damaged_files_are_found_and_made_anew(database: Database, lake: str) -> None:
    append(database, 0, 1)
    refresh(at(database, lake), users=False)
    day = TODAY - ONE_DAY
    truncate_files(lake, "usage_events", day)
    assert reading.status(at(database, lake))["damaged_days"] == [day]
    delete_files(lake, USAGE.daily, day)
    assert [found.table for found in damage_of(lake, {})] == ["usage_events", USAGE.daily]
    refresh(at(database, lake), users=False)
    assert_equals_recount(database, FIRST_DAY)
    # What no length shows is found by reading.
    for table in ("usage_events", USAGE.daily):
        scribble_on_files(lake, table, day)
    installation = at(database, lake)
    [check] = [make(check, installation) for check in CHECKS if check.name == "lake_can_be_read"]
    assert f"usage_events of {day}" in check.summary
    assert reconcile(at(database, lake)).repaired.keys() == {day}
    assert_equals_recount(database, FIRST_DAY)


def rows(*ids: str) -> pa.Table:
    """An event for each id, all of today."""
    count = len(ids)
    return pa.table([ids, [1] * count, [1] * count, [TODAY] * count], schema=SCHEMA)


def test_of_two_writers_one_has_to_come_again(lake: str) -> None:
    for number in range(3):
        tables = [DailyTable(lake, "t", SCHEMA) for _ in range(2)]
        start = Barrier(2)

        def write(
            writer: int, tables: list[DailyTable] = tables, start: Barrier = start, number: int = number
        ) -> str:
            def batches() -> Iterator[pa.RecordBatch]:
                # The commit follows at once.
                start.wait(20)
                yield from rows(f"{number} {writer}").to_batches()

            try:
                tables[writer].append(pa.RecordBatchReader.from_batches(SCHEMA, batches()))
            except LakeConflictError:
                return "conflict"
            return "done"

        with ThreadPoolExecutor(2) as threads:
            assert sorted(threads.map(write, range(2))) == ["conflict", "done"]
    assert len(set(DailyTable(lake, "t", SCHEMA).read().to_table()["id"].to_pylist())) == 3


def test_a_store_that_lets_both_win_is_refused(database: Database, store: Buckets) -> None:
    append(database, 0)
    with pytest.raises(LakeError, match=r"ignores If-None-Match.*conditional writes"):
        refresh(at(database, "s3://no-condition/lake"))
    assert [name for name in store.objects() if name.startswith("no-condition/")] == []


World = tuple[Database, str]


@pytest.fixture(scope="module")
def world(store: Buckets, new_database: NewDatabase, migrated_template: str) -> Iterator[World]:
    """A database and its lake, for all faults one after the other."""
    with new_database(migrated_template) as database, pytest.MonkeyPatch.context() as patch:
        for name, value in store.variables.items():
            patch.setenv(name, value)
        append(database, 0, 1, 2)
        refresh(at(database, "s3://lakes/world"))
        yield database, "s3://lakes/world"


def published(database: Database) -> int:
    """The events that the published stats count."""
    return count(database, "prompt_stats", "sum(usage_count)")


def count(database: Database, rows: str, what: str = "count(*)") -> int:
    """A number of some rows."""
    with psycopg.connect(database.conninfo) as reader:
        row = reader.execute(f"SELECT {what} FROM {rows}".encode()).fetchone()
    assert row
    return int(row[0])


def suffer(world: World, store: Buckets, *faults: Fault) -> str:
    """Events come, a refresh meets the faults, the next one is right; returns the name of what was raised."""
    database, lake = world
    before = published(database)
    append(database, 0, 1, 2)
    store.fail(*faults)
    raised = ""
    try:
        refresh(at(database, lake), users=False)
    except PromptStatsError as error:
        raised = type(error).__name__
    left = store.left()
    store.fail()
    assert left == []
    if raised:
        assert published(database) == before
        refresh(at(database, lake), users=False)
    assert_equals_recount(database, FIRST_DAY)
    return raised


def test_what_passes_is_not_noticed(world: World, store: Buckets) -> None:
    """Each library asks again: for reads, files and log entries."""
    transient = [
        Fault(does, method, target)
        for does in (ERROR, BUSY, SLOW)
        for method, target in (("GET", LIST), ("GET", LOG), ("GET", DATA), ("PUT", DATA), ("PUT", LOG))
    ]
    cut = [Fault(does, "GET", target) for does in (CUT, DROPPED) for target in (LOG, DATA)]
    late = [Fault(does, "PUT", DATA) for does in (LATE_ERROR, DROPPED)]
    assert suffer(world, store, *transient, *cut, *late) == ""


@pytest.mark.parametrize(
    ("does", "target"),
    [(LATE_ERROR, LOG), (DROPPED, LOG), (LATE_ERROR, r"/prompt_usage_daily/_delta_log/\d+\.json")],
)
def test_a_commit_that_is_done_in_spite_of_an_error_is_done_once(
    world: World, store: Buckets, does: str, target: str
) -> None:
    assert suffer(world, store, Fault(does, "PUT", target)) == ""


def test_a_commit_of_which_nobody_knows_whether_it_is_done(world: World, store: Buckets) -> None:
    """It is, and a look at the log fails: of the days of the commit none may be appended once more."""
    opened = 2  # by the plan and the sync
    look = Fault(DENIED, "GET", "/usage_events/_delta_log/_last_checkpoint", spared=opened)
    assert suffer(world, store, Fault(LATE_ERROR, "PUT", LOG), look) == "LakeConflictError"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(DENIED, "PUT", LOG),
        Fault(CUT, "GET", f"{LIST}.*_delta_log"),
    ],
    ids=str,
)
def test_what_is_refused_or_cut_off_is_said(world: World, store: Buckets, fault: Fault) -> None:
    """Once, and not for each day; and no day is taken for a damaged one."""
    assert suffer(world, store, fault) == "LakeError"
    assert count(world[0], "prompt_usage_invalidation") == 0


def test_credentials_are_nowhere(
    database: Database,
    store: Buckets,
    lake: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither in the lake, nor in what is said of a request that the store repeats as it refuses it."""
    keys = {
        name: f"{name} is hushed"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value.replace(" ", "-"))
    caplog.set_level(logging.DEBUG)
    append(database, 0)
    refresh(at(database, lake), users=False)
    append(database, 0)
    said = ""
    for target in (LOG, DATA):
        store.fail(Fault(DENIED, "PUT", target))
        with pytest.raises(LakeError, match="Token-0") as raised:
            refresh(at(database, lake), users=False)
        said += str(raised.value)
    files, root = fs.FileSystem.from_uri(lake)
    for info in files.get_file_info(fs.FileSelector(root, recursive=True)):
        if info.type is fs.FileType.File:
            with files.open_input_stream(info.path) as stream:
                said += stream.read().decode(errors="replace")
    assert "hushed" not in said + caplog.text


def test_the_night_goes_on_where_it_was(world: World, store: Buckets) -> None:
    database, lake = world
    refresh(at(database, lake), [TODAY], replace=True, users=False)
    store.fail(Fault(DENIED, "POST", "delete"))
    with pytest.raises(LakeError, match="Cleaning the lake table"):
        clean(at(database, lake), dt.timedelta(0))
    assert store.left() == []
    assert clean(at(database, lake), dt.timedelta(0)) > 0


def test_a_tick_asks_for_little(world: World, store: Buckets) -> None:
    """docs/deployment.md says what that costs."""
    database, lake = world
    append(database, 0)
    clean(at(database, lake))
    store.requests()
    refresh(at(database, lake), users=False)
    asked = Counter(request.kind for request in store.requests())
    assert asked["PUT"] == 4
    assert asked["LIST"] <= 30
    assert asked["GET"] <= 400
    assert asked.keys() == {"PUT", "LIST", "GET"}
