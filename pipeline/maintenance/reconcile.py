"""Compares all data with its source, and repairs what differs.

It compares the lake's raw events with Postgres, the partials with the raw events, and the published stats
with the partials. A refresh looks only at what is known to be new. This finds what no note reports: a damaged
or deleted file, a row that was changed while the trigger was off, a stats table that was edited by hand.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import select, update

from pipeline.database.locks import Lock
from pipeline.database.tables import stats_day, user_stats_day
from pipeline.days import chunks
from pipeline.errors import LakeError
from pipeline.installation import Installation
from pipeline.lake import damage, range_index, source
from pipeline.lake.contents import NOTHING, differences, in_lake, in_postgres
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.isolation import run_isolated
from pipeline.lake.ownership import Ownership, identify
from pipeline.lake.partials import (
    EVENTS_PER_BATCH,
    USAGE,
    USERS,
    Rollup,
    open_partials,
    stale_days,
    wrong_days,
)
from pipeline.lake.periods import State, month_of
from pipeline.lake.source_table import compare_now, require_source
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.publish.values import publish_values
from pipeline.refresh import refresh

logger = logging.getLogger(__name__)


@dataclass
class ReconcileReport:
    """What was compared, and what differed.

    ``days``, ``events``: those compared with Postgres. ``expired_days``, ``expired_events``: those that the
    lake alone has, compared with what was noted when they expired.
    ``repaired``: days of the raw events that differed from Postgres, and how. ``rebuilt``: partials that
    differed from the raw events, by table. ``lost``: expired days that the lake no longer holds as they
    were; nothing can be done but to restore a backup. ``rows_corrected``: by table, rows that the
    publish wrote, those of new events among them. ``hidden``: days with rows that an index did not show
    (``pipeline.lake.range_index``).
    """

    days: int = 0
    events: int = 0
    expired_days: int = 0
    expired_events: int = 0
    repaired: dict[dt.date, str] = field(default_factory=dict)
    rebuilt: dict[str, list[dt.date]] = field(default_factory=dict)
    lost: dict[dt.date, str] = field(default_factory=dict)
    rows_corrected: dict[str, int] = field(default_factory=dict)
    hidden: list[dt.date] = field(default_factory=list)


def reconcile(
    installation: Installation,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ReconcileReport:
    """Compares, repairs, and publishes. ``progress`` is called with the months compared and their number.

    Only what was published before is compared with Postgres: newer rows, and days with updates and deletes
    that are noted, are the refresh's business.

    :raises LakeError: the lake can't be written, or is another database's.
    :raises DatabaseError: the raw table is not seen whole; nothing was changed.
    :raises SettingsError: a setting is another one than the stats were made with; nothing was changed.
    """
    database, lake, first_day = installation.database, installation.lake, installation.first_day
    report = ReconcileReport()
    with database.engine.connect() as connection:
        is_known = identify(connection, open_usage_events(lake)) is not Ownership.UNKNOWN
        raw_table = require_source(connection, database.names, first_day).table
    if raw_table.partitions:
        # Days whose rows went with one are none that differ.
        report.repaired |= compare_now(database, open_usage_events(lake), first_day)
    with database.engine.connect() as connection:
        latest = source.latest_refresh(connection)
        known = set(connection.scalars(select(stats_day.c.day)))
        if latest:
            in_raw = range_index.raw_counts(connection, first_day, latest["open_until"], latest["high"])
            known |= in_raw.keys()
    published = latest if is_known else None
    if published:
        known |= set(open_usage_events(lake).days()["day"])
    made = set(open_partials(lake).days()["day"])
    months = sorted({month_of(day) for day in known | made})
    for number, month in enumerate(months):
        if published:
            days = {day for day in known if month_of(day) == month}
            _compare_raw(installation, days, published["high"], in_raw, report)
        _compare_partials(installation, {day for day in made if month_of(day) == month}, report)
        progress(number + 1, len(months))
    if published:
        with database.engine.begin() as connection:
            # Rows that an expired day still has, or has again, may be none that the lake knows.
            if left := in_raw.keys() & source.expired_days(connection).keys():
                source.read_again(connection, left)
    for rollup in (USAGE, USERS):
        _compare_periods(installation, rollup, report)
    if report.hidden:
        range_index.rebuild(database)
    if report.repaired:
        with database.engine.begin() as connection:
            # Whatever made them differ, they are read without the index.
            range_index.note(connection, report.repaired)
        sync_days(installation, report.repaired, replace=True)
    with database.engine.begin() as connection:
        # So that the publish compares each day, and each user, with what is published.
        connection.execute(update(stats_day).values(events_version=-1))
        connection.execute(user_stats_day.delete())
    try:
        rows_written = refresh(installation).rows_written
        if latest and latest["value_stats_as_of"]:
            counted = publish_values(installation, again=True)
            if counted.is_same:
                rows_written |= counted.rows_written
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
    installation: Installation,
    days: Collection[dt.date],
    high: int,
    counts: Mapping[dt.date, int],
    report: ReconcileReport,
) -> None:
    """Compares the raw events of a month. Meanwhile the lake's writers wait.

    ``counts``: the rows of each day, counted without an index.
    """
    database, first_day = installation.database, installation.first_day
    with database.locked(Lock.LAKE):
        with database.engine.connect() as connection:
            expired = source.expired_days(connection)
            changed = source.invalidated_days(connection, first_day)
            # Days of which the app has changed rows since are no fault: the refresh reads them again whole.
            known = days if None in changed else changed.keys()
            kept = [day for day in days if day not in expired and day not in known]
            there = in_postgres(connection, kept, high, first_day) if kept else {}
        events = open_usage_events(installation.lake)
        here, unreadable = in_lake(events, kept, high)
        lacking = {
            day: counts[day]
            for day in kept
            if any(counts.get(day, 0) > held.get(day, NOTHING).usage_count for held in (there, here))
        }
        with database.engine.connect() as connection:
            if hidden := range_index.hidden_days(connection, lacking, high, first_day):
                there |= in_postgres(connection, hidden, high, first_day)
                report.hidden += hidden
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
        logger.warning("%s: %s; the day is read again", day, why)
    report.repaired |= found


def _compare_partials(installation: Installation, days: Collection[dt.date], report: ReconcileReport) -> None:
    """Empties the partials of a month that can't be read or differ from a recount of the raw events."""
    with installation.database.locked(Lock.LAKE):
        daily, events = open_partials(installation.lake), open_usage_events(installation.lake)
        bad = daily.damaged_days(days)
        sizes = dict(events.days().select("day", "usage_count").iter_rows())
        # Raw events that are wrong, or can't be read, say nothing about what was made from them before.
        unsure = bad.keys() | report.repaired.keys() | report.lost.keys()
        ready = set(days) & sizes.keys() - unsure - set(stale_days(daily, events))
        wrong = set[dt.date]()
        run_isolated(
            chunks({day: sizes[day] for day in ready}, EVENTS_PER_BATCH),
            lambda part: wrong.update(wrong_days(daily, events, part)),
        )
        _empty(daily, bad.keys() | wrong, report)


def _compare_periods(installation: Installation, rollup: Rollup, report: ReconcileReport) -> None:
    """Empties the longer periods that can't be read or differ from their merged days."""
    with installation.database.locked(Lock.LAKE):
        state = State(installation.lake, rollup)
        # A day that is made anew has the version that it had, by which its month would be used again.
        months = {month_of(day) for day in report.rebuilt.get(state.daily.name, [])}
        bad = months & set(state.monthly.days()["day"]) | state.monthly.damaged_days().keys()
        # Raw events that are wrong, or can't be read, say nothing about what was made from them before.
        unsure_days = report.repaired.keys() | report.lost.keys() if state.view else ()
        unsure = {month_of(day) for day in unsure_days}
        bad |= set(state.wrong_months(state.months.keys() - bad - unsure))
        _empty(state.monthly, bad, report)
        if bad or state.total.damaged_days() or state.is_total_wrong():
            _empty(state.total, set(state.total.days()["day"]), report)


def _empty(table: DailyTable, days: Collection[dt.date], report: ReconcileReport) -> None:
    if days:
        logger.warning("%s: rebuilding %d partitions", table.name, len(days))
        table.replace(days, table.schema.empty_table())
        report.rebuilt.setdefault(table.name, []).extend(sorted(days))
