"""Removes raw rows that the lake has, without changing any number.

A day expires when it is published and the lake has exactly the events of Postgres. From then on only the lake
counts for this day. ``stats_expired_day`` records it, and all other steps keep the day's partition. Rows that
arrive later for an expired day are added to it, unless the lake already has their ids. Later updates and
deletes of rows that it has do not have any effect. A row that the lake does not have is never removed.
``pipeline.maintenance.erasure`` removes a person's events.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow.dataset as ds
from sqlalchemy import Connection, insert, select, text

from pipeline.database.connections import Database
from pipeline.database.locks import Lock
from pipeline.database.queries import query
from pipeline.database.tables import stats_day, stats_expired_day
from pipeline.days import ONE_DAY, last_open_day
from pipeline.errors import InputError
from pipeline.installation import Installation
from pipeline.lake import damage, source
from pipeline.lake.contents import Contents, differences, in_lake, in_postgres
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import open_partials, stale_days
from pipeline.lake.periods import month_of
from pipeline.lake.usage_events import open_own_events
from pipeline.lake.whole_partitions import STILL_EXPIRED, drop_partitions
from pipeline.refresh import refresh

logger = logging.getLogger(__name__)

RAW_DAYS_BEFORE = text(query("maintenance/raw_days_before"))
EXPIRED_ROWS = query("maintenance/expired_rows")
DELETE_EXPIRED_ROWS = text(query("maintenance/delete_expired_rows"))
CLEAR_OWN_INVALIDATIONS = text(query("maintenance/clear_own_invalidations"))
KEEP_WRITERS_OUT = text(query("maintenance/keep_writers_out"))

ROWS_PER_BATCH = 10_000
"""Rows of one delete: a transaction of some ten milliseconds."""


@dataclass(frozen=True)
class RetentionReport:
    """``expired``: days that expired now. ``kept``: older days that did not, and why. ``rows``: raw rows
    removed, of days that expired before too. ``rows_kept``: raw rows of expired days that stay, since the
    lake does not have them. ``dropped``: partitions that were dropped with their rows.
    """

    expired: list[dt.date]
    kept: dict[dt.date, str]
    rows: int
    rows_kept: int
    dropped: list[str] = field(default_factory=list)


def require_confirmed(days: int, address: str, *, configured_days: int | None, actual_address: str) -> None:
    """Makes sure that a launch that removes raw rows names the present setting and this database.

    ``days``, ``address``: what the launch names. ``configured_days``: of ``PROMPT_STATS_RETAIN_DAYS``.
    ``actual_address``: the database's own (:meth:`Database.address`).

    :raises InputError: they differ, or nothing is configured.
    """
    # The address that the launch names is not repeated: Dagster lets it be the value of any variable.
    attempted = f"Removing raw rows older than {days} days from the database that the launch names"
    if configured_days is None:
        raise InputError(
            attempted,
            "PROMPT_STATS_RETAIN_DAYS is not set, so all raw events stay",
            f"Set it and restart Dagster, or remove them by hand: prompt-stats retain --days {days}",
        )
    if days != configured_days:
        raise InputError(
            attempted,
            f"PROMPT_STATS_RETAIN_DAYS is now {configured_days}",
            f"Launch the job with days: {configured_days}, or leave it to the schedule",
        )
    if address != actual_address:
        raise InputError(
            attempted,
            f"the database is {actual_address}",
            f"If you mean this one, launch the job with database: {actual_address}",
        )


def retain(
    installation: Installation,
    days: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RetentionReport:
    """Keeps the raw rows of the last ``days`` days including today, and removes older ones that the lake has.

    It refreshes first. ``progress`` is called with the number of removed rows and the total. It may be
    repeated, and continues after a crash where it stopped.

    :raises InputError: ``days`` is not positive.
    :raises DatabaseError: a writer holds the table for longer than two seconds, or it is not seen whole;
        nothing expired.
    :raises SettingsError: a setting is another one than the stats were made with; nothing was removed.
    """
    if days < 1:
        raise InputError("Removing old raw rows", f"the days to keep are {days}", "Keep one day or more")
    refresh(installation)
    today = last_open_day(dt.datetime.now(dt.UTC)) - ONE_DAY
    cutoff = today - (days - 1) * ONE_DAY
    with installation.database.engine.connect() as connection:
        published = set(connection.scalars(select(stats_day.c.day).where(stats_day.c.day < cutoff)))
        waiting = sorted(published - source.expired_days(connection).keys())
    expired: list[dt.date] = []
    kept: dict[dt.date, str] = {}
    for month in sorted({month_of(day) for day in waiting}):
        part = [day for day in waiting if month_of(day) == month]
        reasons = _expire(installation, part)
        kept |= reasons
        expired += [day for day in part if day not in reasons]
    rows, rows_kept, dropped = _remove(installation, cutoff, progress)
    return RetentionReport(expired, kept, rows, rows_kept, dropped)


def _expire(installation: Installation, days: list[dt.date]) -> dict[dt.date, str]:
    """Lets those days expire that the lake has completely. Returns the others with the reasons."""
    database = installation.database
    with database.locked(Lock.LAKE):
        with database.engine.connect() as connection:
            snapshot = source.take_snapshot(connection)
            there = in_postgres(connection, days, snapshot.high, installation.first_day)
        events = open_own_events(installation)
        here, reasons = in_lake(events, days, snapshot.high)
        reasons |= differences(there, here, [day for day in days if day not in reasons])
        partials = open_partials(installation.lake)
        made = dict(partials.days().select("day", "events_version").iter_rows())
        unmade = set(stale_days(partials, events))
        with database.engine.begin() as connection:
            _keep_writers_out(connection)
            # What was changed since it was compared is noted by now, and can't change any more.
            noted = source.invalidated_days(connection, installation.first_day)
            rows = connection.execute(select(stats_day.c.day, stats_day.c.events_version))
            published = {row.day: row.events_version for row in rows}
            for day in days:
                if day in reasons:
                    continue
                if day in noted or None in noted:
                    reasons[day] = "raw rows were updated or deleted, and that is not published yet"
                elif day in unmade or made.get(day) != published.get(day):
                    reasons[day] = "what the lake holds is not published yet"
            _record(connection, ((day, here[day]) for day in days if day not in reasons), snapshot.high)
    for day, why in sorted(reasons.items()):
        logger.warning("The raw rows of %s are kept: %s", day, why)
    return reasons


def _keep_writers_out(connection: Connection) -> None:
    connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    connection.execute(KEEP_WRITERS_OUT)


def _record(connection: Connection, contents: Iterable[tuple[dt.date, Contents]], high: int) -> None:
    rows = [
        {"day": day, "usage_count": held.usage_count, "checksum": held.checksum, "high": high}
        for day, held in contents
    ]
    if rows:
        connection.execute(insert(stats_expired_day), rows)


def _remove(
    installation: Installation,
    cutoff: dt.date,
    progress: Callable[[int, int], None],
) -> tuple[int, int, list[str]]:
    """Removes the raw rows of expired days in small transactions, or with whole partitions; returns their
    number, that of the rows that stay since the lake does not have them, and the partitions.
    """
    database, first_day = installation.database, installation.first_day
    with database.engine.connect() as connection:
        expired = source.expired_days(connection)
        raw = connection.execute(RAW_DAYS_BEFORE, {"cutoff": cutoff, "first_day": first_day}).all()
    events = open_own_events(installation)
    total = sum(row.usage_count for row in raw if row.day in expired)
    days = [row.day for row in raw if row.day in expired]

    def window_of(day: dt.date) -> dict[str, object]:
        return {
            "from_time": day,
            "to_time": day + ONE_DAY,
            "is_first_day": day == first_day,
            "high": expired[day].high,
        }

    def count(day: dt.date, relations: Collection[int]) -> int:
        held, _ = _held(database, events, day, window_of(day))
        return int(held["relations"].is_in(relations).sum())

    highs = {day: expired[day].high for day in days}
    dropped = drop_partitions(database, first_day, cutoff, highs, count)
    done, left = sum(dropped.values()), 0
    progress(done, total)
    for day in days:
        window = window_of(day)
        held, unknown = _held(database, events, day, window)
        if unknown:
            logger.warning("%s: %d raw rows stay, since the lake does not have them", day, unknown)
        for part in held.iter_slices(ROWS_PER_BATCH):
            with database.engine.begin() as connection:
                if connection.execute(STILL_EXPIRED, {"day": day}).first() is None:
                    break
                rows = {name: part[name].to_list() for name in ("relations", "places", "ids")}
                done += connection.execute(DELETE_EXPIRED_ROWS, {**window, **rows}).rowcount
                connection.execute(CLEAR_OWN_INVALIDATIONS)
            progress(done, total)
        left += unknown
    return done, left, list(dropped)


def _held(
    database: Database, events: DailyTable, day: dt.date, window: Mapping[str, Any]
) -> tuple[pl.DataFrame, int]:
    """The raw rows of a day that the lake has: ``relations``, ``places`` and ``ids``; and how many it lacks.

    An id may be that of several rows: then the lake has to have as many.
    """
    with database.adbc(f"Reading the rows of {day}") as connection, connection.cursor() as cursor:
        cursor.execute(EXPIRED_ROWS, tuple(window.values()))
        found = cursor.fetch_arrow_table()
    raw = pl.DataFrame(found).rename({"relation": "relations", "place": "places", "id": "ids"})
    with damage.reading(f"Looking for the rows of {day} in the lake"):
        known = pl.DataFrame(events.rows([day], ds.field("day") == day, ["id"])).rename({"id": "ids"})
    enough = (
        raw.group_by("ids")
        .len()
        .join(known.group_by("ids").len("known"), on="ids")
        .filter(pl.col("len") <= pl.col("known"))
    )
    held = raw.join(enough, on="ids", how="semi")
    return held, raw.height - held.height
