"""The lake table ``usage_events``: raw events with one partition per day, and their sync from Postgres.

A sync appends the rows above a day's mark, or replaces the day if raw rows were changed. Both may be
repeated.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.database.connections import Database
from pipeline.database.locks import Lock
from pipeline.days import chunks
from pipeline.errors import LakeError
from pipeline.installation import Installation
from pipeline.lake import damage, range_index, source
from pipeline.lake.contents import checksums
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.flow import OnProgress, Progress, now_and_then
from pipeline.lake.isolation import run_isolated
from pipeline.lake.ownership import claim, forget_other_tokens, identify, make_own
from pipeline.lake.partitions import Partition
from pipeline.lake.replica import wait_for_replica, written_position
from pipeline.lake.source_table import compare_source, require_partitions, require_source

logger = logging.getLogger(__name__)

EVENTS_PER_BATCH = 500_000
"""About how many rows one commit has, to limit the memory of a long range. A day is never split."""
MOST_EVENTS_PER_BATCH = 2_000_000
STATEMENTS = 20
"""Commits of a longer range, about, each of more rows, up to that. Where rows do not lie in the order of
their days, or no index says which do, each statement reads the whole table."""
SECONDS_PER_STATEMENT = 20
"""How long a statement takes, about, where rows per second are limited. While it does, dead rows can't be
removed from any table; a replica breaks off what stands in its way for 30 seconds, unless told otherwise."""

FILES_PER_DAY = 24
"""Appends of a day that are left lying before they are joined: two hours of a refresh every five minutes."""

EXAMPLES = 5
"""Events that are named of those with a value that does not count."""

TABLE = "usage_events"

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("prompt_id", pa.string()),
        ("user_id", pa.string()),
        ("character_id", pa.string()),
        ("post_id", pa.string()),
        ("job_id", pa.string()),
        ("scene", pa.string()),
        ("environment", pa.string()),
        ("outfit", pa.string()),
        ("success", pa.bool_()),
        ("generation_time_ms", pa.int64()),
        ("generation_time_ps", pa.int64()),
        ("unusable", pa.string()),
        ("error_message", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("ingest_xid", pa.int64()),
        ("synced_high", pa.int64()),
        ("day", pa.date32()),
    ]
)
"""``prompt_usage`` with ids as text, and: ``generation_time_ps``, what ``generation_time_ms`` has beyond
whole milliseconds, in billionths of one, null if nothing; ``unusable``: the column whose value is no time;
``ingest_xid``, 0 for rows older than the pipeline;
``synced_high``: the watermark of the sync that wrote the row; ``day``: the partition."""


def open_usage_events(lake: str) -> DailyTable:
    """The table, at its latest state."""
    return DailyTable(lake, TABLE, SCHEMA)


def unusable_values(lake: str) -> tuple[int, list[str]]:
    """The number of events with an unusable value (``unusable``), and the ids of some of them.

    It reads one column, and little of it if there are none. Days with a missing file are left out.

    :raises LakeError: a file can't be read.
    """
    table = open_usage_events(lake)
    days = set(table.days()["day"]) - table.faults().keys()
    with damage.reading("Looking for values that do not count"):
        found = table.read(days).filter(ds.field("unusable").is_valid())
        return found.count_rows(), found.head(EXAMPLES, columns=["id"])["id"].to_pylist()


def open_own_events(installation: Installation) -> DailyTable:
    """Opens the latest state of the table in a lake that belongs to this database, or to nobody yet.

    :raises LakeOwnerError: it is another's.
    """
    table = open_usage_events(installation.lake)
    with installation.database.engine.connect() as connection:
        identify(connection, table)
    return table


def claim_lake(installation: Installation, *, discard: bool = False) -> bool:
    """:func:`pipeline.lake.ownership.claim` of the table."""
    with installation.database.locked(Lock.LAKE):
        return claim(installation.database, open_usage_events(installation.lake), discard=discard)


@dataclass
class SyncReport:
    """What a sync did. ``appended`` and ``replaced``: rows read, by day.

    ``failed``: the days that could not be brought up to date, and why; they stay stale. ``repaired``: the
    days whose files were damaged, and how; they were read again. ``held``: what the lake holds then, as
    ``DailyTable.days`` says. ``found``: days that were synced besides those asked for, since rows had changed
    without a note (``pipeline.lake.source_table``), and how they differed.
    """

    snapshot: source.Snapshot
    appended: dict[dt.date, int] = field(default_factory=dict)
    replaced: dict[dt.date, int] = field(default_factory=dict)
    failed: dict[dt.date, str] = field(default_factory=dict)
    repaired: dict[dt.date, str] = field(default_factory=dict)
    held: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False)
    found: dict[dt.date, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows that were read."""
        return sum(self.appended.values()) + sum(self.replaced.values())


def sync_days(
    installation: Installation,
    days: Collection[dt.date],
    *,
    replace: bool = False,
    progress: OnProgress = lambda _progress: None,
    max_rows_per_second: int | None = None,
) -> SyncReport:
    """Brings some days of the lake up to date with Postgres.

    Days with updated or deleted raw rows are replaced, and all are when ``replace`` is given; to the
    others the new rows are appended. A day of which a file is missing or was cut off is replaced, too. An
    expired day is never replaced: Postgres does not have it any more. Each that the lake has not in full is
    among the failed.
    ``progress`` is told with each batch how many rows were read, from another thread. No more than
    ``max_rows_per_second`` are read, if that is given.

    Rows are read from the database's replica if it has one, and counted in the database itself, so that it
    would show if any did not arrive.

    :raises LakeConflictError: somebody wrote to the lake meanwhile; what was committed is complete.
    :raises DatabaseUnavailableError: a read was broken off, or the replica is too far behind; the same.
    :raises DatabaseError: the raw table is not seen whole; nothing was written.
    :raises SettingsError: a setting is another one than the stats were made with; nothing was written.
    """
    database, first_day = installation.database, installation.first_day
    with database.engine.connect() as connection:
        require_source(connection, database.names, first_day)
    with database.locked(Lock.LAKE):
        table = open_usage_events(installation.lake)
        make_own(database, table)
        found, doubtful, partitions = compare_source(database, table, first_day)
        held = dict(table.days().select("day", "mark").iter_rows())
        with database.engine.begin() as connection:
            snapshot = source.take_snapshot(connection)
            position = written_position(connection) if database.replica else ""
            source.record_sync(connection, snapshot)
            wanted = {day for day in {*days, *found} if first_day <= day <= snapshot.open_until}
            wanted -= doubtful.keys()
            expired = {day: kept for day, kept in source.expired_days(connection).items() if day in wanted}
            invalidated = source.invalidated_days(connection, first_day)
            whole = {day for day in wanted if replace or day in invalidated or None in invalidated}
            broken = {day: why for day, why in table.faults().items() if day in wanted - expired.keys()}
            whole |= broken.keys()
            whole -= expired.keys()
            marks = {day: held.get(day, source.WHOLE_DAY) for day in wanted}
            marks |= dict.fromkeys(whole, source.WHOLE_DAY)
            # A row that was moved to an expired day has an old id.
            marks |= {
                day: source.WHOLE_DAY if day in invalidated else kept.high - 1
                for day, kept in expired.items()
            }
            rescanned = range_index.noted_days(connection) & whole
            if rescanned:
                range_index.avoid(connection)
            unread = source.unread_days(connection, snapshot, marks, first_day)
        strays = expired.keys() & (unread.keys() | invalidated.keys())
        # What was added to a day that is not as it should be would hide that.
        strays -= damage.note_lost_days(database, table, strays).keys() if strays else set()
        report = SyncReport(snapshot, repaired=broken, found=found)
        total = sum(unread.values())
        if database.replica and (unread or whole or strays):
            wait_for_replica(database.replica, snapshot, position)
        at_once = rows_at_once(total, max_rows_per_second)
        begun = time.monotonic()
        say = now_and_then(_log)

        def how_far(done: int) -> Progress:
            return Progress(done, max(total, done), time.monotonic() - begun)

        # A day that is to be replaced by nothing is work, a day with nothing to append is not.
        for target, work, part in (
            (report.appended, _append, unread.keys() - whole - expired.keys()),
            (report.replaced, _replace, whole),
            (report.appended, _append_strays, strays),
        ):

            def transfer(
                chunk: list[dt.date], work: _Work = work, target: dict[dt.date, int] = target
            ) -> None:
                before = report.rows

                def passed(rows: int) -> None:
                    done = how_far(before + rows)
                    progress(done)
                    say(done)

                part = {day: marks[day] for day in chunk}
                has_index = rescanned.isdisjoint(chunk)
                target.update(
                    work(
                        _Transfer(
                            database,
                            table,
                            snapshot,
                            part,
                            first_day,
                            max_rows_per_second,
                            passed,
                            has_index=has_index,
                            partitions=partitions,
                        )
                    )
                )

            sizes = {day: unread.get(day, 0) for day in part}
            report.failed |= run_isolated(chunks(sizes, at_once), transfer)
        if report.rows:
            _log(how_far(report.rows))
        _read_short_days_again(database, report, {d: n for d, n in unread.items() if d not in expired})
        files = dict(table.days().select("day", "files").iter_rows())
        crowded = [day for day in report.appended if files.get(day, 0) > FILES_PER_DAY]
        # What can't be read is named, and mended, by the rollup of these days.
        run_isolated([crowded], lambda days: _compact(table, days))
        report.failed |= damage.note_unreadable(database, table.damaged_days(report.failed))
        report.failed |= damage.note_lost_days(database, table)
        report.failed |= doubtful
        report.held = table.days()
        # Before a publish settles notes of changes that the lake as it was has not read.
        forget_other_tokens(database, table)
    return report


def _compact(table: DailyTable, days: list[dt.date]) -> None:
    table.compact(days)


def rows_at_once(total: int, max_rows_per_second: int | None) -> int:
    """How many of ``total`` rows are read by one statement and committed together, about."""
    rows = min(max(EVENTS_PER_BATCH, total // STATEMENTS), MOST_EVENTS_PER_BATCH)
    return min(rows, max_rows_per_second * SECONDS_PER_STATEMENT) if max_rows_per_second else rows


def _log(progress: Progress) -> None:
    logger.info("usage_events: %s", progress, extra=asdict(progress))


def _read_short_days_again(database: Database, report: SyncReport, expected: Mapping[dt.date, int]) -> None:
    """Notes the days of which another number of events arrived than Postgres had counted.

    Rows that were deleted meanwhile are noted anyway; anything else must not stay unseen until the
    nightly reconciliation.
    """
    arrived = report.appended | report.replaced
    unequal = {
        day: (arrived.get(day, 0), count)
        for day, count in expected.items()
        if day not in report.failed and arrived.get(day, 0) != count
    }
    for day, (found, count) in unequal.items():
        logger.warning(
            "usage_events: %d of %d events of %s arrived, so the day is read again", found, count, day
        )
    if unequal:
        with database.engine.begin() as connection:
            range_index.note(connection, unequal)


class _Transfer(NamedTuple):
    """Events that are to go to the lake: of some days, each above its mark.

    ``passed`` is told how many were read so far. ``has_index``: whether an index may be used to find them.
    ``partitions``: those of the raw table, none of which may go before the events are in the lake.
    """

    database: Database
    table: DailyTable
    snapshot: source.Snapshot
    marks: Mapping[dt.date, int]
    first_day: dt.date
    max_rows_per_second: int | None
    passed: Callable[[int], None]
    has_index: bool
    partitions: Collection[Partition]

    def counts(self) -> dict[dt.date, int]:
        """The events that the lake has of each of the days."""
        held = dict(self.table.days().select("day", "usage_count").iter_rows())
        return {day: held.get(day, 0) for day in self.marks}

    def events(self) -> AbstractContextManager[pa.RecordBatchReader]:
        """The events as a stream, from the replica if there is one."""
        return source.usage_events(
            self.database.replica or self.database,
            self.snapshot,
            self.marks,
            self.first_day,
            max_rows_per_second=self.max_rows_per_second,
            passed=self.passed,
            has_index=self.has_index,
        )


_Work = Callable[[_Transfer], dict[dt.date, int]]


def _append(transfer: _Transfer) -> dict[dt.date, int]:
    before = transfer.counts()
    with transfer.events() as reader:
        transfer.table.append(reader.cast(SCHEMA))
    return {day: count - before[day] for day, count in transfer.counts().items()}


def _replace(transfer: _Transfer) -> dict[dt.date, int]:
    with transfer.events() as reader:
        rows = reader.cast(SCHEMA)
        refusal: LakeError | None = None

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal refusal
            yield from rows
            try:
                # Before the commit: of a partition that went there was less to read.
                require_partitions(transfer.database, transfer.partitions, transfer.marks, transfer.first_day)
            except LakeError as error:
                refusal = error
                raise

        try:
            transfer.table.replace(transfer.marks, pa.RecordBatchReader.from_batches(SCHEMA, batches()))
        except LakeError:
            # As it was said, without what the libraries between make of it.
            if refusal is not None:
                raise refusal from None
            raise
    return transfer.counts()


def _append_strays(transfer: _Transfer) -> dict[dt.date, int]:
    """Adds the events of expired days that the lake does not have: a retried event must not count twice."""
    before = transfer.counts()
    with transfer.events() as reader:
        rows = pl.DataFrame(reader.cast(SCHEMA).read_all())
    if rows.height:
        with damage.reading(f"Looking for events of {min(transfer.marks)} in the lake"):
            known = pl.DataFrame(transfer.table.read(transfer.marks).to_table(columns=["day", "id"]))
        rows = rows.join(known, on=["day", "id"], how="anti")
    if rows.height:
        with transfer.database.engine.begin() as connection:
            source.record_contents(connection, {day: (count, None) for day, count in before.items()})
        transfer.table.append(rows.to_arrow().cast(SCHEMA))
    after = transfer.counts()
    # Also where nothing was added: a crash may have come after that.
    sums = checksums(transfer.table, transfer.marks)
    with transfer.database.engine.begin() as connection:
        source.record_strays(connection, transfer.snapshot, transfer.marks)
        source.record_contents(connection, {day: (after[day], checksum) for day, checksum in sums.items()})
    return {day: after[day] - before[day] for day in transfer.marks}
