"""The lake table ``usage_events``: raw events, one partition a day, and how they get here.

A day is brought up to date by appending the rows above its mark, or, where raw rows were changed, by
replacing it. Both may be repeated at will.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.database import Database, Lock
from pipeline.days import chunks
from pipeline.lake import source
from pipeline.lake.delta_table import DailyTable

logger = logging.getLogger(__name__)

EVENTS_AT_ONCE = 1_000_000
"""Rows of one commit, about: bounds the memory of a long range. A day is never split."""

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
        ("error_message", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("ingest_xid", pa.int64()),
        ("synced_high", pa.int64()),
        ("day", pa.date32()),
    ]
)
"""``prompt_usage`` with ids as text, and: ``ingest_xid``, 0 for rows older than the pipeline;
``synced_high``: the watermark of the sync that wrote the row; ``day``: the partition."""


def open_usage_events(lake: str) -> DailyTable:
    """The table, at its latest state."""
    return DailyTable(lake, TABLE, SCHEMA)


@dataclass
class SyncReport:
    """What a sync did. ``appended`` and ``replaced``: rows read, by day."""

    snapshot: source.Snapshot
    appended: dict[dt.date, int] = field(default_factory=dict)
    replaced: dict[dt.date, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows that travelled."""
        return sum(self.appended.values()) + sum(self.replaced.values())


def sync_days(
    database: Database,
    lake: str,
    first_day: dt.date,
    days: Collection[dt.date],
    *,
    replace: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> SyncReport:
    """Brings some days of the lake up to date with Postgres.

    Days with updated or deleted raw rows are replaced, and all are when ``replace`` is given; to the
    others the new rows are appended. ``progress`` is called with the rows done and the rows in all.

    :raises LakeConflictError: somebody wrote to the lake meanwhile; what was committed is complete.
    """
    with database.locked(Lock.LAKE):
        table = open_usage_events(lake)
        held = dict(table.days().select("day", "mark").iter_rows())
        with database.engine.connect() as connection:
            snapshot = source.take_snapshot(connection)
            report = SyncReport(snapshot)
            wanted = {day for day in days if first_day <= day <= snapshot.open_until}
            if not wanted:
                return report
            invalidated = source.invalidated_days(connection, first_day)
            whole = {day for day in wanted if replace or day in invalidated or None in invalidated}
            marks = {
                day: source.WHOLE_DAY if day in whole else held.get(day, source.WHOLE_DAY) for day in wanted
            }
            unread = source.unread_days(connection, snapshot, marks, first_day)
        for replacing in (False, True):
            target = report.replaced if replacing else report.appended
            # A day that is to be replaced by nothing is work, a day with nothing to append is not.
            sizes = {day: unread.get(day, 0) for day in (whole if replacing else unread.keys() - whole)}
            for chunk in chunks(sizes, EVENTS_AT_ONCE):
                part = {day: marks[day] for day in chunk}
                target.update(_transfer(database, table, snapshot, part, first_day, replacing=replacing))
                progress(report.rows, max(sum(unread.values()), report.rows))
                logger.info("usage_events: %d of %d events", report.rows, sum(unread.values()))
    return report


def _transfer(
    database: Database,
    table: DailyTable,
    snapshot: source.Snapshot,
    marks: Mapping[dt.date, int],
    first_day: dt.date,
    *,
    replacing: bool,
) -> dict[dt.date, int]:
    """Moves the events of some days in one commit; returns how many of each day."""
    before = {} if replacing else dict(table.days().select("day", "usage_count").iter_rows())
    with source.usage_events(database, snapshot, marks, first_day) as reader:
        if replacing:
            table.replace(marks, reader.cast(SCHEMA), snapshot.high)
        else:
            table.append(reader.cast(SCHEMA), snapshot.high)
    after = dict(table.days().select("day", "usage_count").iter_rows())
    return {day: after.get(day, 0) - before.get(day, 0) for day in marks}
