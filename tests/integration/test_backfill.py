"""What a run over a range says, and what a publish after it refuses."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable

import dagster as dg
import polars as pl
import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.database.locks import Lock
from pipeline.database.tables import STATS_TABLES, prompts, user_prompt_stats
from pipeline.days import ONE_DAY, DayRange
from pipeline.definitions import build_definitions
from pipeline.lake import source
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import USAGE, open_partials, roll_up_days
from pipeline.lake.periods import open_periods
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.maintenance.reconcile import reconcile
from pipeline.orchestration import running
from pipeline.orchestration.jobs import JOB, range_tags
from pipeline.orchestration.resources import Stores
from pipeline.refresh import plan_refresh, refresh
from tests.conftest import FIRST_DAY
from tests.lake import open_to_write
from tests.oracle import assert_equals_recount

TODAY = dt.datetime.now(dt.UTC).date()
DAYS = [TODAY - number * ONE_DAY for number in range(9, -1, -1)]
PUBLISHED = [*(table.name for table in STATS_TABLES), prompts.name, user_prompt_stats.name]


@pytest.fixture
def stores(stores: Stores, database: Database) -> Stores:
    """The test's database, with an event on each of ten days and two on the first, and its lake."""
    append(database, DAYS[0], *DAYS)
    return stores


def append(database: Database, *days: dt.date) -> None:
    """One event a day given."""
    with psycopg.connect(database.conninfo) as app:
        app.cursor().executemany(
            "INSERT INTO prompt_usage (prompt_id, user_id, created_at)"
            " VALUES (md5('prompt')::uuid, gen_random_uuid(), %s)",
            [(day,) for day in days],
        )


def run(
    instance: dg.DagsterInstance, stores: Stores, names: list[str] | None = None, **tags: str
) -> tuple[bool, str, int]:
    """A run of the job, of some assets or all: whether it succeeded, why not, how often it tried again."""
    result = (
        build_definitions(stores)
        .resolve_job_def(JOB)
        .execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in names] if names else None,
            tags=tags,
            raise_on_error=False,
        )
    )
    failures = [str(event.step_failure_data.error) for event in result.get_step_failure_events()]
    retries = [event for event in result.all_events if event.is_step_up_for_retry]
    return result.success, "".join(failures), len(retries)


def lose(stores: Stores) -> None:
    """A published day goes from the lake."""
    for table in (open_to_write(stores.database, stores.lake), open_partials(stores.lake)):
        table.replace([DAYS[3]], table.schema.empty_table())


def set_back(stores: Stores) -> None:
    """A published day is again as it was before its last event came, as after a restore of the lake."""
    table = open_usage_events(stores.lake)
    before = table.read([DAYS[-1]]).to_table()
    append(stores.database, DAYS[-1])
    refresh(stores.installation)
    append(stores.database, DAYS[-2])
    refresh(stores.installation)
    open_to_write(stores.database, stores.lake).replace([DAYS[-1]], before)
    roll_up_days(stores.installation)


def twice(table: DailyTable, day: dt.date) -> None:
    """A partition counts everything twice."""
    rows = pl.DataFrame(table.read([day]).to_table()).with_columns(pl.col("usage_count") * 2)
    table.replace([day], rows.select(table.schema.names).to_arrow().cast(table.schema))


def count_a_day_twice(stores: Stores) -> None:
    """The partials of a day, not yet published, do not count its raw events."""
    append(stores.database, DAYS[-1])
    sync_days(stores.installation, [DAYS[-1]])
    roll_up_days(stores.installation)
    twice(open_partials(stores.lake), DAYS[-1])


def count_months_twice(stores: Stores) -> None:
    """The merged months are not the sum of their days; one day has a new event."""
    with psycopg.connect(stores.database.conninfo) as app:
        app.execute("INSERT INTO prompt_usage (prompt_id) SELECT prompt_id FROM prompt_usage LIMIT 1")
    days = plan_refresh(stores.installation).days
    sync_days(stores.installation, days)
    roll_up_days(stores.installation)
    monthly, total = open_periods(stores.lake, USAGE)
    for table in (monthly, total):
        for month in table.days()["day"]:
            twice(table, month)


def restore_an_older_database(stores: Stores) -> None:
    """The database went back in time, and the lake has not been brought in line yet."""
    with psycopg.connect(stores.database.conninfo) as connection:
        connection.execute("UPDATE stats_lake_token SET token = token + 1")


def go_back(stores: Stores) -> None:
    """The watermark of the last publish is ahead of the server's."""
    with psycopg.connect(stores.database.conninfo) as connection:
        connection.execute("UPDATE stats_refresh SET high = high + 1000000")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lose, "lacks 1 published days"),
        (set_back, "in a state from before the last publish"),
        (count_a_day_twice, "4 of 2"),
        (count_months_twice, "their total"),
        (restore_an_older_database, "commits that the database does not know"),
        (go_back, "the watermark would go back"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_publish_apart_refuses_what_is_not_right(
    instance: dg.DagsterInstance, stores: Stores, spoil: Callable[[Stores], None], said: str
) -> None:
    refresh(stores.installation)
    spoil(stores)
    stats = "SELECT count(*), (SELECT sum(usage_count) FROM prompt_stats) FROM stats_refresh"
    with psycopg.connect(stores.database.conninfo, autocommit=True) as connection:
        before = connection.execute(stats).fetchone()
        succeeded, why, retries = run(instance, stores, PUBLISHED)
        assert not succeeded
        assert said in why
        assert retries == 0
        assert connection.execute(stats).fetchone() == before


def test_what_was_refused_is_repaired_as_the_error_says(stores: Stores) -> None:
    refresh(stores.installation)
    set_back(stores)
    count_months_twice(stores)
    reconcile(stores.installation)
    assert_equals_recount(stores.database, FIRST_DAY)


def test_a_lost_connection_is_tried_again(
    instance: dg.DagsterInstance, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "FIRST_WAIT_SECONDS", 0)
    waiting = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE wait_event = 'advisory' AND datname = current_database()"
    )

    def end_the_waiting_session() -> None:
        with stores.database.locked(Lock.LAKE), psycopg.connect(stores.database.conninfo) as connection:
            locked.set()
            while not connection.execute(waiting).fetchall():
                connection.commit()
                time.sleep(0.05)

    locked = threading.Event()
    fault = threading.Thread(target=end_the_waiting_session)
    fault.start()
    locked.wait()
    succeeded, why, retries = run(
        instance, stores, ["usage_events"], **range_tags(DayRange(DAYS[0], DAYS[-1]))
    )
    fault.join()
    assert succeeded, why
    assert retries == 1


def test_days_that_are_not_there_are_said_in_words(
    instance: dg.DagsterInstance, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = TODAY + ONE_DAY
    assert run(instance, stores, ["usage_events"], **range_tags(DayRange(tomorrow, tomorrow)))[0]
    succeeded, why, retries = run(instance, stores, ["usage_events"], **range_tags(DayRange(TODAY, DAYS[0])))
    assert not succeeded
    assert retries == 0
    assert "ends before it begins" in why
    # A Dagster whose clock is ahead of the database's.
    monkeypatch.setattr(source, "last_open_day", lambda _now: TODAY)
    assert run(instance, stores, ["usage_events"], **range_tags(DayRange(TODAY, tomorrow)))[0]
    record = instance.fetch_materializations(dg.AssetKey("usage_events"), limit=1).records[0]
    assert record.asset_materialization
    assert record.asset_materialization.metadata["days_not_open"].value == 1


def test_runs_of_a_backfill_take_as_many_days_as_asked(
    instance: dg.DagsterInstance, stores: Stores, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "days_per_run", 4)
    graph = build_definitions(stores).resolve_asset_graph()
    for name in ("usage_events", USAGE.daily):
        assert graph.get(dg.AssetKey(name)).backfill_policy == dg.BackfillPolicy.multi_run(4)
    for days in (DAYS[:4], DAYS[4:8], DAYS[8:]):
        succeeded, why, _ = run(instance, stores, None, **range_tags(DayRange(days[0], days[-1]), "backfill"))
        assert succeeded, why
    assert_equals_recount(database, FIRST_DAY)
