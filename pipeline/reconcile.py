"""Compares everything with what it was made from, and repairs what differs.

The lake's raw events with Postgres, the partials with the raw events, the published stats with the partials.
A refresh looks only at what it knows to be new; this finds what nobody told it: a damaged or deleted file, a
row changed while the trigger was off, a stats table edited by hand.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
from sqlalchemy import select, update

from pipeline.database import Database
from pipeline.engines import duckdb_engine
from pipeline.errors import LakeError
from pipeline.lake import damage, source
from pipeline.lake.contents import NOTHING, differences, in_lake, in_postgres
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.ownership import Ownership, identify
from pipeline.lake.partials import USAGE, USERS, Rollup, open_partials, stale_days
from pipeline.lake.periods import State, month_of, open_periods
from pipeline.lake.source_table import raw_days, require_source
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.locks import Lock
from pipeline.refresh import refresh
from pipeline.tables import stats_day, user_stats_day

logger = logging.getLogger(__name__)


@dataclass
class ReconcileReport:
    """What was compared, and what was found.

    ``days``, ``events``: those compared with Postgres. ``expired_days``, ``expired_events``: those that the
    lake alone has, compared with what was noted when they expired.
    ``repaired``: days of the raw events that differed from Postgres, and how. ``rebuilt``: partials that
    differed from the raw events, by table. ``lost``: expired days that the lake no longer holds as they
    were; nothing can be done but to restore a backup. ``rows_corrected``: by table, rows that the
    publish wrote, those of new events among them.
    """

    days: int = 0
    events: int = 0
    expired_days: int = 0
    expired_events: int = 0
    repaired: dict[dt.date, str] = field(default_factory=dict)
    rebuilt: dict[str, list[dt.date]] = field(default_factory=dict)
    lost: dict[dt.date, str] = field(default_factory=dict)
    rows_corrected: dict[str, int] = field(default_factory=dict)


def reconcile(
    database: Database,
    lake: str,
    first_day: dt.date,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ReconcileReport:
    """Compares, repairs, and publishes. ``progress`` is called with the months compared and their number.

    Only what was published before is compared with Postgres: newer rows, and days with updates and deletes
    that are noted, are the refresh's business.

    :raises LakeError: the lake can't be written, or is another database's.
    :raises DatabaseError: the raw table is not seen whole; nothing was changed.
    :raises SettingsError: a setting is another one than the stats were made with; nothing was changed.
    """
    report = ReconcileReport()
    with database.engine.connect() as connection:
        is_known = identify(connection, open_usage_events(lake)) is not Ownership.UNKNOWN
        require_source(connection, database.names, first_day)
        latest = source.latest_refresh(connection)
        known = set(connection.scalars(select(stats_day.c.day)))
        if latest:
            in_raw = raw_days(connection, first_day, latest["open_until"])
            known |= in_raw
    if latest and is_known:
        known |= set(open_usage_events(lake).days()["day"])
        months = sorted({month_of(day) for day in known})
        for number, month in enumerate(months):
            days = {day for day in known if month_of(day) == month}
            _compare_raw(database, lake, first_day, days, latest["high"], report)
            progress(number + 1, len(months))
        with database.engine.begin() as connection:
            # Rows that an expired day still has, or has again, may be none that the lake knows.
            if left := in_raw & source.expired_days(connection).keys():
                source.read_again(connection, left)
    for rollup in (USAGE, USERS):
        _compare_partials(database, lake, rollup, report)
    if report.repaired:
        sync_days(database, lake, first_day, report.repaired, replace=True)
    with database.engine.begin() as connection:
        # So that the publish compares each day, and each user, with what is published.
        connection.execute(update(stats_day).values(events_version=-1))
        connection.execute(user_stats_day.delete())
    try:
        rows_written = refresh(database, lake, first_day).rows_written
    except LakeError:
        # A lost day can't be processed, which the report says; the others are published.
        if not report.lost:
            raise
    else:
        report.rows_corrected = {name: rows for name, rows in rows_written.items() if rows}
    logger.info(
        "reconciled %d days, %d of them only in the lake: %d repaired, %d lost",
        report.days + report.expired_days,
        report.expired_days,
        len(report.repaired),
        len(report.lost),
    )
    return report


def _compare_raw(
    database: Database,
    lake: str,
    first_day: dt.date,
    days: Collection[dt.date],
    high: int,
    report: ReconcileReport,
) -> None:
    """Compares the raw events of a month; the lake's writers wait so long."""
    with database.locked(Lock.LAKE):
        with database.engine.connect() as connection:
            expired = source.expired_days(connection)
            changed = source.invalidated_days(connection, first_day)
            # Days of which the app has changed rows since are no fault: the refresh reads them again whole.
            known = days if None in changed else changed.keys()
            kept = [day for day in days if day not in expired and day not in known]
            there = in_postgres(connection, kept, high, first_day) if kept else {}
        events = open_usage_events(lake)
        here, unreadable = in_lake(events, kept, high)
        alone = sorted(expired.keys() & set(days))
        # Their ingest_xid may be another server's.
        in_lake_alone, lost = in_lake(events, alone)
        for day in alone:
            contents = in_lake_alone.get(day, NOTHING)
            if day not in lost and (why := damage.difference(day, expired[day], contents)):
                lost[day] = why
            report.expired_events += contents.usage_count
        unsure = {
            day: (contents.usage_count, contents.checksum)
            for day, contents in in_lake_alone.items()
            if expired[day].checksum is None and expired[day].usage_count == contents.usage_count
        }
        with database.engine.begin() as connection:
            source.record_contents(connection, unsure)
            if alone:
                source.record_damage(connection, alone, lost.keys())
    report.expired_days += len(alone)
    report.lost |= lost
    report.days += len(kept)
    report.events += sum(contents.usage_count for contents in there.values())
    found = differences(there, here, kept) | unreadable
    for day, why in sorted(found.items()):
        logger.warning("%s: %s; it is read again", day, why)
    report.repaired |= found


def _compare_partials(database: Database, lake: str, rollup: Rollup, report: ReconcileReport) -> None:
    """Empties the partials that can't be read or don't add up, so that they are made anew."""
    with database.locked(Lock.LAKE):
        daily = open_partials(lake, rollup)
        events = open_usage_events(lake)
        bad = set(daily.damaged_days())
        raw = dict(events.days().select("day", "usage_count").iter_rows())
        ready = sorted(set(daily.days()["day"]) - bad - set(stale_days(daily, events, rollup)))
        counted = _counts(daily, ready, rollup)
        bad |= {day for day in ready if counted.get(day, 0) != raw.get(day, 0)}
        _empty(daily, bad, report)
        broken = [table for table in open_periods(lake, rollup) if table.damaged_days()]
        if not broken:
            state = State(lake, rollup)
            own = state.scan().where(("dimension", "=", _dimension(rollup)))
            total = int(duckdb_engine.run("partial_sizes", partials=own)["usage_count"].sum())
            if total != sum(_counts(daily, state.days, rollup).values()):
                broken = [state.monthly, state.total]
        for table in broken:
            _empty(table, set(table.days()["day"]), report)


def _dimension(rollup: Rollup) -> str:
    """The dimension of a rollup in whose rows each event is counted once."""
    return "user" if rollup is USERS else "prompt"


def _counts(table: DailyTable, days: Collection[dt.date], rollup: Rollup) -> dict[dt.date, int]:
    rows = table.rows(days, pa.compute.field("dimension") == _dimension(rollup), ["day", "usage_count"])
    sums = pl.DataFrame(rows).group_by("day").agg(pl.col("usage_count").sum())
    return dict(sums.iter_rows())


def _empty(table: DailyTable, days: Collection[dt.date], report: ReconcileReport) -> None:
    if days:
        logger.warning("%s: %d partitions are made anew", table.name, len(days))
        table.replace(days, table.schema.empty_table())
        report.rebuilt[table.name] = sorted(days)
