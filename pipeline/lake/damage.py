"""Files of the lake that can't be read: their days, what helps, and where that is recorded.

If Postgres has a day's raw rows, the day is noted like a changed one, so that the next refresh reads it
again. An expired day can only be restored from a backup of the lake. ``stats_expired_day.damaged_at`` records
it until the day is complete again, and every refresh fails and names it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa
from deltalake.exceptions import DeltaError

from pipeline.database.connections import Database
from pipeline.errors import LakeError, readable
from pipeline.lake import source
from pipeline.lake.contents import NOTHING, Contents, in_lake
from pipeline.lake.delta_table import DailyTable

logger = logging.getLogger(__name__)

RESTORE = "Restore this day of usage_events from the lake's backup, then run prompt-stats refresh"
RECONCILE = "prompt-stats reconcile"


@contextmanager
def reading(attempted: str) -> Iterator[None]:
    """Translates a library's error about a file that can't be read into one of ours.

    :raises LakeError: a file can't be read.
    """
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise LakeError(
            attempted,
            readable(error),
            f"Run prompt-stats check to see which file it is; {RECONCILE} rebuilds what Postgres still has",
        ) from error


def lost_days(
    events: DailyTable, expired: Mapping[dt.date, source.ExpiredDay], changed: Collection[dt.date] = ()
) -> dict[dt.date, str]:
    """The expired days that the lake no longer has completely, and why.

    It looks only at the log and the lengths of files. It reads the files of days that were damaged before or
    have ``changed``, and compares their contents with what was recorded.
    """
    if not expired:
        return {}
    unreadable = events.faults()
    held = dict(events.days().select("day", "usage_count").iter_rows())
    suspected = {day for day, kept in expired.items() if kept.is_damaged or day in changed}
    found, unread = in_lake(events, suspected - unreadable.keys()) if suspected else ({}, {})
    unreadable |= unread
    lost = {day: f"{unreadable[day]}. {RESTORE}" for day in sorted(expired.keys() & unreadable.keys())}
    for day, kept in sorted(expired.items()):
        by_log = Contents(held.get(day, 0), -1, kept.checksum or 0)
        if why := difference(day, kept, found.get(day, by_log), is_exact=day in found):
            lost[day] = f"{why}. {RESTORE}"
    return lost


def difference(
    day: dt.date, kept: source.ExpiredDay, found: Contents, *, is_exact: bool = True
) -> str | None:
    """How the lake's contents of an expired day differ from what was recorded, or None if they do not.

    Without a checksum, or if not ``is_exact``, it notices only missing events.
    """
    is_exact = is_exact and kept.checksum is not None
    if found.usage_count < kept.usage_count or (is_exact and found.usage_count != kept.usage_count):
        return (
            f"The lake holds {found.usage_count} events of {day}, and held {kept.usage_count} when their"
            " raw rows were removed from Postgres"
        )
    if is_exact and found.checksum != kept.checksum:
        return f"The lake holds other values of {day} than when their raw rows were removed from Postgres"
    return None


def compare_expired(database: Database, events: DailyTable, *, accept: bool = False) -> dict[dt.date, str]:
    """Reads all expired days after the lake or the database was restored. Records and returns the lost ones.

    If a day has what was recorded, and events from after everything that the database has read, the database
    was restored and not the lake, so the day is recorded as right. With ``accept``, so is every day that can
    be read and has events.
    """
    with database.engine.connect() as connection:
        expired = source.expired_days(connection)
        high = source.latest_sync_high(connection) or 0
    found, unreadable = in_lake(events, expired.keys()) if expired else ({}, {})
    different = {
        day: why
        for day in expired.keys() - unreadable.keys()
        if (why := difference(day, expired[day], found.get(day, NOTHING)))
    }
    # By ids: those of another server may be larger, and then the day is taken for one that is not right.
    before, _ = in_lake(events, different, high) if different else ({}, {})
    right = {
        day: (found[day].usage_count, found[day].checksum)
        for day in different.keys() & found.keys()
        if accept or not difference(day, expired[day], before.get(day, NOTHING))
    }
    wrong = unreadable | {day: why for day, why in different.items() if day not in right}
    lost = {day: f"{why}. {RESTORE}" for day, why in wrong.items()}
    with database.engine.begin() as connection:
        source.record_contents(connection, right)
        source.record_damage(connection, expired.keys(), lost.keys())
    for day, why in sorted(lost.items()):
        logger.error("%s: %s", day, why)
    return dict(sorted(lost.items()))


def note_lost_days(
    database: Database, events: DailyTable, days: Collection[dt.date] | None = None
) -> dict[dt.date, str]:
    """Looks for :func:`lost_days`, records them in Postgres, and returns them.

    It looks at all days, or at the given ones, whose files it reads: before their contents are used or
    recorded as right, it has to be certain that nobody else wrote them.
    """
    with database.engine.connect() as connection:
        expired = source.expired_days(connection)
    if days is not None:
        expired = {day: kept for day, kept in expired.items() if day in days}
    lost = lost_days(events, expired, days or ())
    known = {day for day, kept in expired.items() if kept.is_damaged}
    if known != lost.keys():
        with database.engine.begin() as connection:
            source.record_damage(connection, known | lost.keys(), lost.keys())
        for day in sorted(lost.keys() - known):
            logger.error("%s: %s", day, lost[day])
        for day in sorted(known - lost.keys()):
            logger.warning("%s: the lake has the whole day again", day)
    return lost


def note_unreadable(database: Database, days: Mapping[dt.date, str]) -> dict[dt.date, str]:
    """Records that raw events of some days can't be read. Returns what is wrong with each, and what helps."""
    if not days:
        return {}
    with database.engine.begin() as connection:
        lost = source.expired_days(connection).keys() & days.keys()
        source.record_damage(connection, lost, lost)
        if days.keys() - lost:
            source.read_again(connection, sorted(days.keys() - lost))
    noted = {}
    for day, why in sorted(days.items()):
        noted[day] = f"{why}. {RESTORE if day in lost else 'The next refresh reads the day again'}"
        logger.warning("%s: %s", day, noted[day])
    return noted


def is_lost(reason: str) -> bool:
    """Whether only a backup helps, judging by a day's reason."""
    return reason.endswith(RESTORE)


class Damaged(NamedTuple):
    """A day, or the first day of a longer period, with a file that can't be read, and what helps."""

    table: str
    day: dt.date
    why: str
    remedy: str


Look = Callable[[DailyTable], Mapping[dt.date, str]]


def ends_of_files(table: DailyTable) -> Mapping[dt.date, str]:
    """Checks that all files exist, have the right length, and end as they should."""
    return table.faults(footers=True)


def whole_files(table: DailyTable) -> Mapping[dt.date, str]:
    """Reads all files."""
    return table.damaged_days()


def find_damage(
    events: DailyTable,
    partials: Iterable[DailyTable],
    expired: Mapping[dt.date, source.ExpiredDay],
    look: Look = ends_of_files,
) -> list[Damaged]:
    """Finds what is damaged in the lake, in order of tables and days. It changes nothing.

    :raises LakeError: the lake can't be listed.
    """
    lost = {day: why.removesuffix(f". {RESTORE}") for day, why in lost_days(events, expired).items()}
    found = [
        Damaged(events.name, day, why, RESTORE if day in expired else f"Run {RECONCILE}")
        for day, why in sorted({**look(events), **lost}.items())
    ]
    return found + [
        Damaged(table.name, day, why, f"Run {RECONCILE}")
        for table in partials
        for day, why in sorted(look(table).items())
    ]
