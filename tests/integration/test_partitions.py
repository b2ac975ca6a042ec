"""A raw table with partitions: whatever becomes of them, the next refresh is true, or says why not."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.adoption.partitions import PartitionBy, months_from
from pipeline.adoption.schema import make_partitions, migrate, plan_migration, undo
from pipeline.answers import reading
from pipeline.database.connections import Database
from pipeline.database.queries import query
from pipeline.errors import DatabaseError, InputError, LakeError
from pipeline.lake import usage_events
from pipeline.lake.partitions import days_of
from pipeline.lake.usage_events import open_usage_events
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.refresh import plan_refresh, refresh
from pipeline.tracking import PromptTracker
from pipeline.tracking.batches import append_events
from pipeline.tracking.event import Record, read_event
from tests.app import at
from tests.command import REPOSITORY
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount
from tests.partitioned import KEYLESS_TREE, attach, partition, partitioned_template
from tests.published import Published, publish
from tests.roles import as_role
from tests.statements import rows_of, run

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
PROMPT = uuid.UUID(int=7)
AGES = (0, 1, 7, 20, 40, 50, 500, 4000)
OF_OLD = {TODAY - 40 * ONE_DAY, TODAY - 50 * ONE_DAY}

PUBLISHED_DAYS = """
    SELECT day, sum(usage_count)::bigint, sum(success_count)::bigint, sum(failure_count)::bigint
    FROM prompt_daily_stats GROUP BY 1 ORDER BY 1
"""
RECOUNTED_DAYS = f"""
    SELECT greatest((created_at AT TIME ZONE 'UTC')::date, DATE '{FIRST_DAY}'), count(*),
        count(*) FILTER (WHERE success), count(*) FILTER (WHERE NOT success)
    FROM prompt_usage GROUP BY 1 ORDER BY 1
"""

INSERT = "INSERT INTO {} (prompt_id, user_id, scene, success, created_at) VALUES (%s, %s, 'x', true, %s)"


def live(app: psycopg.Connection) -> None:
    """Two events at each age."""
    app.execute("INSERT INTO prompts (id, name, template) VALUES (%s, 'a name', 'a template')", (PROMPT,))
    for number, age in enumerate(AGES * 2):
        at = NOW - age * ONE_DAY
        app.execute(INSERT.format("prompt_usage").encode(), (PROMPT, uuid.UUID(int=number % 3), at))


@pytest.fixture(scope="module")
def template(new_database: NewDatabase) -> Iterator[str]:
    """The name of a database with a partitioned table, adopted."""
    with partitioned_template(new_database) as name:
        yield name


@pytest.fixture(scope="module")
def counted(
    new_database: NewDatabase, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Published]:
    """Events in each of its partitions, published; to be copied."""
    with publish(new_database, template, tmp_path_factory.mktemp("lake"), live) as published:
        yield published


def count(database: Database) -> int:
    """The events that are published."""
    return int(rows_of(database, "SELECT usage_count FROM stats_refresh ORDER BY id DESC LIMIT 1")[0][0])


def expired(database: Database) -> set[dt.date]:
    """The days that the lake alone has."""
    return {day for (day,) in rows_of(database, "SELECT day FROM stats_expired_day")}


def assert_true(database: Database, lake: str) -> None:
    """A refresh makes everything the recount of the raw rows, and leaves nothing to do."""
    assert refresh(at(database, lake), values=True).pending_days == []
    assert_equals_recount(database, FIRST_DAY)
    assert plan_refresh(at(database, lake)).days == []


def event_at(age: int, table: str = "prompt_usage") -> tuple[str, tuple[Any, ...]]:
    """The statement that adds one, and its values."""
    return INSERT.format(table), (PROMPT, uuid.UUID(int=1), NOW - age * ONE_DAY)


# Changes that no trigger of statements sees -----------------------------------------------------------

OF_9_DAYS_AGO = "(prompt_id, created_at, ingest_xid) VALUES ('{}', now() - interval '9 days', {})"
NEW = f"INSERT INTO middle (prompt_id, created_at) VALUES ('{PROMPT}', now() - interval '9 days')"
FORGED = {xid: f"INSERT INTO middle {OF_9_DAYS_AGO.format(PROMPT, xid)}" for xid in ("NULL", "3", "10^12")}
MOVE = (
    "UPDATE prompt_usage SET created_at = created_at - interval '20 days'"
    " WHERE created_at > now() - interval '45 days'"
)
ONE = "(SELECT min(id::text)::uuid FROM {})"
OFF, ON = "DISABLE TRIGGER USER;", "ENABLE ALWAYS TRIGGER prompt_usage_"

CHANGES = {
    "statements": (
        f"DELETE FROM old WHERE id = {ONE.format('old')}",
        f"DELETE FROM prompt_usage WHERE id = {ONE.format('prompt_usage')}",
        "UPDATE middle SET success = false",
        "UPDATE prompt_usage SET success = NULL WHERE created_at < now() - interval '10 days'",
        MOVE,
        NEW,
        *FORGED.values(),
        "DELETE FROM old_0; DELETE FROM old_1",
    ),
    "what fires no trigger": (
        f"ALTER TABLE middle {OFF} DELETE FROM middle WHERE id = {ONE.format('middle')}; {FORGED['3']}",
        f"ALTER TABLE middle {OFF} DELETE FROM middle;"
        + "".join(
            f"ALTER TABLE middle {ON}{name};" for name in ("note_delete", "note_update", "assign_ingest_xid")
        ),
        "SET session_replication_role = replica; DELETE FROM old; UPDATE recent SET scene = 'y'",
        NEW,
        "TRUNCATE middle",
        "TRUNCATE recent, other",
    ),
    "other partitions": (
        "ALTER TABLE prompt_usage DETACH PARTITION middle; UPDATE middle SET success = false;"
        f" DELETE FROM middle WHERE id = {ONE.format('middle')};" + attach("middle", 30, 5),
        "CREATE TABLE whole (LIKE middle INCLUDING ALL); INSERT INTO whole SELECT * FROM middle;"
        " INSERT INTO whole SELECT * FROM old; DROP TABLE middle, old;" + attach("whole", 60, 5),
        "ALTER TABLE prompt_usage DETACH PARTITION whole;"
        + partition("older", 60, 15)
        + partition("newer", 15, 5)
        + "INSERT INTO prompt_usage SELECT * FROM whole",
        "CREATE TABLE new (LIKE older INCLUDING ALL);"
        " INSERT INTO new SELECT * FROM older WHERE created_at > now() - interval '45 days';"
        " DROP TABLE older;" + attach("new", 60, 15),
        partition("early", 90, 60)
        + f"INSERT INTO early (prompt_id, created_at) VALUES ('{PROMPT}', now() - interval '70 days'),"
        f" ('{PROMPT}', now() - interval '71 days'); UPDATE early SET success = false;"
        " DELETE FROM early WHERE created_at < now() - interval '70.5 days'",
        "DELETE FROM early WHERE created_at < now() - interval '70 days'",
        # With ids that are missing, old and still to come.
        "CREATE TABLE earlier (LIKE newer INCLUDING DEFAULTS);"
        " ALTER TABLE earlier ALTER ingest_xid DROP DEFAULT;"
        f" INSERT INTO earlier (id, prompt_id, created_at, ingest_xid) SELECT gen_random_uuid(), '{PROMPT}',"
        " now() - interval '1 day' * (91 + n), CASE mod(n, 3) WHEN 1 THEN 3 WHEN 2 THEN 10^12 END"
        " FROM generate_series(1, 9) AS n;" + attach("earlier", 120, 90),
        "TRUNCATE prompt_usage",
    ),
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_change_is_counted_at_the_next_refresh(
    history: Database, lake: str, changes: tuple[str, ...]
) -> None:
    for change in changes:
        run(history, change)
        assert refresh(at(history, lake)).pending_days == []
        assert rows_of(history, PUBLISHED_DAYS) == rows_of(history, RECOUNTED_DAYS), change
        assert expired(history) == set()
    migrate(history)
    run(history, NEW.replace("middle", "prompt_usage"))
    run(history, f"DELETE FROM prompt_usage WHERE id = {ONE.format('prompt_usage')}")
    assert_true(history, lake)
    assert rows_of(history, "SELECT is_watched FROM stats_source") == [(True,)]


def test_a_new_partition_costs_no_comparison_of_other_days(history: Database, lake: str) -> None:
    before = dict(open_usage_events(lake).days().select("day", "version").iter_rows())
    run(history, partition("next", -30, -60))
    assert plan_refresh(at(history, lake)).days == []
    refresh(at(history, lake))
    assert dict(open_usage_events(lake).days().select("day", "version").iter_rows()) == before
    assert len(rows_of(history, "SELECT jsonb_array_elements(partitions) FROM stats_source")) == 5


# Partitions that go --------------------------------------------------------------------------------

GOES = {
    "drop": "DROP TABLE old",
    "detach": "ALTER TABLE prompt_usage DETACH PARTITION old",
}


@pytest.mark.parametrize("goes", GOES.values(), ids=GOES)
def test_numbers_stay_when_a_partition_goes(history: Database, lake: str, goes: str) -> None:
    before = rows_of(history, "SELECT * FROM prompt_daily_stats ORDER BY day")
    run(history, goes)
    for _ in range(2):
        refresh(at(history, lake))
        assert rows_of(history, "SELECT * FROM prompt_daily_stats ORDER BY day") == before
    assert expired(history) == OF_OLD
    status = reading.status(at(history, lake))
    assert (status["dropped_day_count"], status["dropped_partitions"]) == (2, "keep")
    report = reconcile(at(history, lake))
    assert (report.repaired, report.lost, report.rows_corrected) == ({}, {}, {})
    # What comes later for such a day is added, and the next partition that goes is another one's.
    run(history, *event_at(40))
    assert refresh(at(history, lake)).usage_count == 17
    assert plan_refresh(at(history, lake)).days == []


def test_reconcile_meets_a_dropped_partition_first(history: Database, lake: str) -> None:
    run(history, GOES["drop"])
    report = reconcile(at(history, lake))
    assert (report.repaired, report.lost, count(history)) == ({}, {}, 16)
    assert expired(history) == OF_OLD


def test_numbers_go_down_where_that_is_wanted(history: Database, lake: str) -> None:
    run(history, GOES["drop"])
    counting = replace(history, counts_down=True)
    assert reading.status(at(counting, lake))["dropped_partitions"] == "count-down"
    assert_true(counting, lake)
    assert (count(history), expired(history)) == (12, set())
    counting.close()


def test_a_partition_that_comes_back_counts_once(history: Database, lake: str) -> None:
    for _ in range(2):
        run(history, GOES["detach"])
        refresh(at(history, lake))
        assert (count(history), expired(history)) == (16, OF_OLD)
        run(history, attach("old", 60, 30))
        assert_true(history, lake)
        assert (count(history), expired(history)) == (16, set())
    # Postgres speaks for its days again.
    run(history, "DELETE FROM old")
    assert_true(history, lake)
    assert count(history) == 12


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (f"INSERT INTO old (prompt_id, created_at) VALUES ('{PROMPT}', now() - interval '40 days')", 17),
        ("DELETE FROM old WHERE created_at < now() - interval '45 days'", 14),
    ],
    ids=["more", "fewer"],
)
def test_a_partition_that_comes_back_counts_as_it_is_now(
    history: Database, lake: str, change: str, expected: int
) -> None:
    run(history, GOES["detach"])
    refresh(at(history, lake))
    run(history, change)
    run(history, attach("old", 60, 30))
    refresh(at(history, lake))
    assert (count(history), expired(history)) == (expected, set())
    assert plan_refresh(at(history, lake)).days == []


def test_rows_that_come_back_in_other_partitions_are_postgres_again(history: Database, lake: str) -> None:
    run(history, GOES["detach"])
    refresh(at(history, lake))
    run(
        history,
        partition("older", 60, 45)
        + partition("newer", 45, 30)
        + "INSERT INTO prompt_usage SELECT * FROM old",
    )
    refresh(at(history, lake))
    assert (count(history), expired(history)) == (16, set())
    run(history, "DELETE FROM prompt_usage WHERE created_at < now() - interval '45 days'")
    assert_true(history, lake)


def test_an_ordinary_table_in_the_place_of_partitions_stands_for_itself(history: Database, lake: str) -> None:
    run(
        history,
        "ALTER TABLE prompt_usage RENAME TO before;"
        " CREATE TABLE prompt_usage (LIKE before INCLUDING DEFAULTS);"
        " ALTER TABLE prompt_usage ADD PRIMARY KEY (id); INSERT INTO prompt_usage SELECT * FROM before;"
        " DROP TABLE before",
    )
    migrate(history)
    refresh(at(history, lake))
    assert (count(history), expired(history)) == (16, set())
    run(history, "DELETE FROM prompt_usage WHERE created_at < now() - interval '45 days'")
    assert_true(history, lake)


def test_days_that_changed_before_they_went_are_in_doubt(history: Database, lake: str) -> None:
    before = rows_of(history, "SELECT * FROM prompt_daily_stats ORDER BY day")
    run(history, f"DELETE FROM old WHERE created_at < now() - interval '45 days'; {GOES['drop']}")
    day = TODAY - 50 * ONE_DAY
    for _ in range(2):
        with pytest.raises(LakeError, match=f"{day}.*partition old is gone.*count-down"):
            refresh(at(history, lake))
        run(history, *event_at(1))
    assert rows_of(history, f"SELECT * FROM prompt_daily_stats WHERE day = '{day}'") == [
        row for row in before if day in row
    ]
    assert (expired(history), count(history)) == ({TODAY - 40 * ONE_DAY}, 17)
    counting = replace(history, counts_down=True)
    refresh(at(counting, lake))
    assert count(history) == 16
    assert plan_refresh(at(counting, lake)).days == []
    counting.close()


def test_days_that_the_lake_lost_are_in_doubt(history: Database, lake: str) -> None:
    for file in Path(lake, "usage_events", f"day={TODAY - 40 * ONE_DAY}").glob("*.parquet"):
        file.unlink()
    run(history, GOES["detach"])
    with pytest.raises(LakeError, match="does not have them whole"):
        refresh(at(history, lake))
    assert (expired(history), count(history)) == ({TODAY - 50 * ONE_DAY}, 16)
    run(history, attach("old", 60, 30))
    assert_true(history, lake)


def test_a_day_that_went_in_part_keeps_its_other_rows(history: Database, lake: str) -> None:
    # A partition that ends in the middle of a day.
    noon = f"{TODAY - 6 * ONE_DAY} 12:00+00"
    run(
        history,
        "ALTER TABLE prompt_usage DETACH PARTITION middle; DROP TABLE middle;"
        f" CREATE TABLE a PARTITION OF prompt_usage FOR VALUES FROM ('{TODAY - 30 * ONE_DAY}') TO ('{noon}');"
        f" CREATE TABLE b PARTITION OF prompt_usage FOR VALUES FROM ('{noon}') TO ('{TODAY - 5 * ONE_DAY}');"
        " INSERT INTO prompt_usage (prompt_id, created_at)"
        f" VALUES ('{PROMPT}', '{noon}'::timestamptz - interval '1 hour'), ('{PROMPT}', '{noon}')",
    )
    refresh(at(history, lake))
    total = count(history)
    run(history, "DROP TABLE a")
    refresh(at(history, lake))
    assert count(history) == total
    run(history, "DROP TABLE b")
    refresh(at(history, lake))
    assert count(history) == total


# Retention, erasure, extraction ----------------------------------------------------------------------


def test_retention_drops_whole_partitions(history: Database, lake: str) -> None:
    before = rows_of(history, "SELECT * FROM prompt_daily_stats ORDER BY day")
    report = retain(at(history, lake), days=20)
    # Those of the default partition are deleted, and of one that is needed yet.
    assert (report.dropped, report.rows, report.rows_kept) == (["old"], 10, 0)
    assert rows_of(history, "SELECT count(*) FROM prompt_usage") == [(6,)]
    for _ in range(2):
        refresh(at(history, lake))
        assert rows_of(history, "SELECT * FROM prompt_daily_stats ORDER BY day") == before
    assert retain(at(history, lake), days=20).dropped == []


def test_retention_deletes_where_it_may_not_drop(history: Database, lake: str) -> None:
    run(history, *event_at(40))
    with as_role(history, "pipeline") as seen:
        report = retain(at(seen, lake), days=20)
    assert (report.dropped, report.rows) == ([], 11)
    assert rows_of(history, "SELECT count(*) FROM prompt_usage") == [(6,)]


def test_retention_keeps_a_partition_with_a_row_that_the_lake_lacks(history: Database, lake: str) -> None:
    retain(at(history, lake), days=45)
    # Two rows with one id, of which the lake has one.
    [(taken,)] = [open_usage_events(lake).read([TODAY - 50 * ONE_DAY]).to_table(["id"])["id"].to_pylist()[:1]]
    for hour in range(2):
        run(
            history,
            "INSERT INTO prompt_usage (id, prompt_id, created_at) VALUES (%s, %s, %s)",
            (taken, PROMPT, f"{TODAY - 50 * ONE_DAY} 0{hour}:00Z"),
        )
    report = retain(at(history, lake), days=20)
    assert (report.dropped, report.rows, report.rows_kept) == ([], 4, 2)
    assert rows_of(history, "SELECT count(*) FROM old") == [(2,)]
    assert refresh(at(history, lake)).usage_count == 16


def test_extraction_reads_the_partitions_of_its_days_alone(history: Database) -> None:
    settings = {
        "high": "9999999999",
        "first_day": str(FIRST_DAY),
        "from_day": str(TODAY - 20 * ONE_DAY),
        "to_day": str(TODAY - 10 * ONE_DAY),
        "lowest_mark": "-1",
        "days": "[]",
    }
    statement = query("lake/usage_events")
    with psycopg.connect(history.conninfo) as connection:
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, true)", (f"prompt_stats.{name}", value))
        connection.execute("SET LOCAL enable_seqscan = on")
        explained = connection.execute(b"EXPLAIN (ANALYZE, COSTS OFF) " + statement.encode()).fetchall()
    read = {
        line.split(" on ")[1].split()[0]
        for (line,) in explained
        if " on " in line and "never executed" not in line
    }
    assert read & {"old_0", "old_1", "middle", "recent", "other"} <= {"middle"}


# Writing -------------------------------------------------------------------------------------------


def twins(number: int) -> list[Record]:
    """An event that comes twice, with other times; as it may if the time is that of the attempt."""
    given = {"event_id": str(uuid.UUID(int=number)), "prompt_id": str(PROMPT), "success": True}
    return [read_event({**given, "created_at": NOW - age * ONE_DAY}) for age in (0, 20)]


def test_an_event_that_comes_twice_counts_once(history: Database) -> None:
    before = rows_of(history, "SELECT count(*) FROM prompt_usage")[0][0]
    with psycopg.connect(history.conninfo, autocommit=True) as app:
        # In one batch, and in two.
        append_events(app, twins(1))
        append_events(app, [*twins(2), twins(1)[1], *twins(3)])
    assert rows_of(history, "SELECT count(*) FROM prompt_usage") == [(before + 3,)]
    for mode in ("direct", "buffered"):
        with PromptTracker(history.conninfo, mode=mode) as tracker:
            for age in (1, 20, 0):
                tracker.track_post_creation(
                    prompt_id=PROMPT, event_id=uuid.UUID(int=3), created_at=NOW - age * ONE_DAY, success=True
                )
        assert tracker.stats().failed == 0
    assert rows_of(history, "SELECT count(*) FROM prompt_usage") == [(before + 3,)]


def test_two_writers_of_one_event_wait_for_each_other(history: Database) -> None:
    first, second = twins(1)
    with (
        as_role(history, "app") as seen,
        psycopg.connect(seen.conninfo, autocommit=True) as one,
        psycopg.connect(seen.conninfo, autocommit=True) as other,
        ThreadPoolExecutor() as threads,
    ):
        with one.transaction():
            append_events(one, [first])
            later = threads.submit(append_events, other, [second])
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while rows_of(history, waiting) != [(1,)]:
                assert not later.done()
        assert later.result().rejected == {}
    assert rows_of(history, f"SELECT count(*) FROM prompt_usage WHERE id = '{uuid.UUID(int=1)}'") == [(1,)]


# Adoption ------------------------------------------------------------------------------------------


@contextmanager
def app_with(new_database: NewDatabase, tables: str) -> Iterator[Database]:
    """An app's database with these tables."""
    with new_database("template0") as database:
        run(database, tables)
        yield database


def test_a_keyless_table_gets_a_key_of_ours(new_database: NewDatabase, lake: str) -> None:
    with app_with(new_database, KEYLESS_TREE) as database:
        shape = (
            "SELECT attname::text FROM pg_attribute WHERE attrelid = 'prompt_usage'::regclass AND attnum > 0"
        )
        before = rows_of(database, shape)
        migrate(database)
        assert plan_migration(database).steps == []
        live_in(database)
        given = uuid.UUID(int=99)
        for age in (0, 40, 3):
            with PromptTracker(database.conninfo, mode="direct") as tracker:
                tracker.track_post_creation(
                    prompt_id=PROMPT, event_id=given, created_at=NOW - age * ONE_DAY, success=True
                )
        assert rows_of(database, "SELECT event_key FROM prompt_usage WHERE event_key IS NOT NULL") == [
            (str(given),)
        ]
        run(database, f"INSERT INTO prompt_usage (prompt_id, created_at) VALUES ('{PROMPT}', NULL)")
        assert_true(database, lake)
        undo(database)
        kept = [row for row in rows_of(database, shape) if not row[0].startswith("........pg.dropped")]
        assert kept == before
        assert rows_of(database, "SELECT 1 FROM pg_trigger WHERE NOT tgisinternal") == []
        assert rows_of(database, "SELECT 1 FROM pg_class WHERE relname ~ 'ingest_brin|event_key'") == []


def live_in(database: Database) -> None:
    with psycopg.connect(database.conninfo) as app:
        live(app)


COLUMNS = "(id uuid, prompt_id uuid, success boolean, created_at timestamptz)"
BY_TIME = "PARTITION BY RANGE (created_at);"
FOREIGN = (
    "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER away FOREIGN DATA WRAPPER far;"
    f"CREATE TABLE prompt_usage {COLUMNS} {BY_TIME}"
    "CREATE FOREIGN TABLE there PARTITION OF prompt_usage DEFAULT SERVER away"
)
REFUSED = {
    "by list": (
        f"CREATE TABLE prompt_usage {COLUMNS} PARTITION BY LIST (id)",
        "is not partitioned by ranges",
    ),
    "by another column first": (
        f"CREATE TABLE prompt_usage {COLUMNS} PARTITION BY RANGE (prompt_id, created_at)",
        "is not partitioned by ranges",
    ),
    "as a partition": (
        f"CREATE TABLE a {COLUMNS} {BY_TIME} CREATE TABLE prompt_usage PARTITION OF a DEFAULT",
        "inheritance",
    ),
    "with a foreign one": (FOREIGN, "foreign tables: public.there"),
}


@pytest.mark.parametrize(("tables", "why"), REFUSED.values(), ids=REFUSED)
def test_other_partitions_are_refused(empty_database: Database, tables: str, why: str) -> None:
    run(empty_database, tables)
    with pytest.raises(DatabaseError, match=why):
        migrate(empty_database)


def test_a_table_of_ours_is_made_with_partitions(empty_database: Database, lake: str) -> None:
    migrate(empty_database, partition_by=PartitionBy.MONTH)
    names = [f"prompt_usage_p{month:%Y%m%d}" for month in months_from(TODAY)]
    there = "SELECT relid::regclass::text FROM pg_partition_tree('prompt_usage') WHERE level = 1"
    assert {name for (name,) in rows_of(empty_database, there)} == {*names, "prompt_usage_default"}
    assert plan_migration(empty_database, PartitionBy.MONTH).steps == []
    live_in(empty_database)
    assert_true(empty_database, lake)
    # Months go by.
    run(empty_database, f"DROP TABLE {names[1]}, {names[3]}")
    assert [step.what for step in plan_migration(empty_database).steps] == make_partitions(empty_database)
    assert {name for (name,) in rows_of(empty_database, there)} == {*names, "prompt_usage_default"}
    assert make_partitions(empty_database) == []
    assert_true(empty_database, lake)
    run(empty_database, "DELETE FROM prompt_usage")
    undo(empty_database)
    assert rows_of(empty_database, "SELECT relname FROM pg_class WHERE relname ~ '^prompt_usage'") == []


def test_a_table_that_is_there_is_not_divided(database: Database) -> None:
    with pytest.raises(InputError, match="exists already"):
        migrate(database, partition_by=PartitionBy.MONTH)


def test_an_ordinary_table_becomes_the_first_partition(database: Database, lake: str) -> None:
    live_in(database)
    refresh(at(database, lake))
    before = dict(open_usage_events(lake).days().select("day", "version").iter_rows())
    page = (REPOSITORY / "docs" / "adoption.md").read_text(encoding="utf-8")
    _, _, script = page.partition("### An ordinary table becomes a partitioned one")
    script = script.partition("```sql")[2].partition("```")[0]
    _, next_month, _, last = months_from(TODAY)
    run(database, script.replace("2027-01-01", str(next_month)).replace("2027-02-01", str(last)))
    migrate(database)
    assert_true(database, lake)
    assert dict(open_usage_events(lake).days().select("day", "version").iter_rows()) == before
    run(database, "DELETE FROM prompt_usage_before WHERE created_at < now() - interval '45 days'")
    assert_true(database, lake)
    notes = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'prompt_usage_before'::regclass AND tgparentid = 0"
    assert rows_of(database, notes) == []


def test_bounds_are_days() -> None:
    assert days_of("FOR VALUES FROM ('2026-10-01 00:00:00+00') TO ('2026-11-01 00:00:00+00')") == (
        "2026-10-01",
        "2026-10-31",
    )
    assert days_of("FOR VALUES FROM ('2026-10-01 22:00:00') TO ('2026-11-01 23:00:00')") == (
        "2026-10-01",
        "2026-11-01",
    )
    assert days_of("FOR VALUES FROM (MINVALUE) TO ('2026-11-01 00:00:00+00', 5)") == (None, "2026-11-01")
    assert days_of("FOR VALUES FROM ('-infinity') TO (MAXVALUE)") == (None, None)
    assert days_of("FOR VALUES FROM ('0044-03-15 00:00:00+00 BC') TO ('infinity')") == (None, None)
    assert days_of("DEFAULT") == (None, None)


@pytest.mark.parametrize("step", ["_replace", "compare_source"])
@pytest.mark.parametrize("why", ["a backfill", "changed rows"])
def test_a_partition_that_goes_while_it_is_read_again_keeps_its_numbers(
    history: Database, lake: str, monkeypatch: pytest.MonkeyPatch, why: str, step: str
) -> None:
    before = count(history)
    is_noted = why == "changed rows"
    if is_noted:
        run(history, "UPDATE old SET success = false")
    taken = getattr(usage_events, step)

    def dropping(*given: Any) -> Any:
        if step == "_replace":
            run(history, "DROP TABLE IF EXISTS old")
            return taken(*given)
        found = taken(*given)
        run(history, "DROP TABLE IF EXISTS old")
        return found

    days = plan_refresh(at(history, lake)).days if is_noted else [TODAY - 40 * ONE_DAY]
    monkeypatch.setattr(usage_events, step, dropping)
    with pytest.raises(LakeError, match="the partition old disappeared meanwhile"):
        refresh(at(history, lake), days, replace=not is_noted)
    monkeypatch.undo()
    assert count(history) == before
    if is_noted:
        with pytest.raises(LakeError, match=r"partition old is gone.*count-down"):
            refresh(at(history, lake))
    else:
        refresh(at(history, lake))
        assert TODAY - 40 * ONE_DAY in expired(history)
    assert count(history) == before


def test_rows_in_the_default_partition_stop_no_migration(
    empty_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(empty_database, partition_by=PartitionBy.MONTH)
    [month, later] = months_from(TODAY, 1)
    name = f"prompt_usage_p{later:%Y%m%d}"
    rows = f"created_at >= '{later} 00:00+00' AND created_at < '{months_from(later, 1)[1]} 00:00+00'"
    run(
        empty_database,
        f"DROP TABLE {name}; DROP TABLE prompt_usage_p{month:%Y%m%d};"
        f" INSERT INTO prompt_usage (prompt_id, created_at) VALUES ('{PROMPT}', '{later} 12:00+00')",
    )
    report = migrate(empty_database)
    assert [warning for warning in report.warnings if "Rows in the default partition" in warning]
    assert f"prompt_usage_p{month:%Y%m%d}" in str(rows_of(empty_database, "SELECT relname FROM pg_class"))
    assert make_partitions(empty_database) == []
    assert "Rows in the default partition" in caplog.text
    page = (REPOSITORY / "docs" / "adoption.md").read_text(encoding="utf-8")
    [moved] = re.findall(r"```sql\n(BEGIN;\nSET LOCAL TimeZone.*?)```", page, re.DOTALL)
    for there, here in (("20270101", f"{later:%Y%m%d}"), ("2027-01-01", f"{later}")):
        moved = moved.replace(there, here)
    run(empty_database, moved.replace("2027-02-01", f"{months_from(later, 1)[1]}"))
    assert rows_of(empty_database, f"SELECT count(*) FROM {name} WHERE {rows}") == [(1,)]
    assert not [step for step in plan_migration(empty_database).steps if "partition" in step.what]
