"""Which day an event belongs to, and ranges of days.

This is pure date arithmetic. Queries that assign events to days define days in the same way.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple, TypeVar

ONE_DAY = dt.timedelta(days=1)

UTC = "UTC"
"""The default time zone of days."""

USUAL_DAYS = 30
"""The default length of a period, in days."""

NOTHING_KNOWN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""The ``as_of`` of stats if it is not known up to when they are complete."""


class DayRange(NamedTuple):
    """A range of days, both ends included."""

    first: dt.date
    last: dt.date

    def days(self) -> Iterator[dt.date]:
        """Each day of the range, in order."""
        day = self.first
        while day <= self.last:
            yield day
            day += ONE_DAY


@cache
def timezones() -> frozenset[str]:
    """The valid names of time zones, from the IANA database. The first call takes a moment."""
    # That of this machine is no name of the IANA database, and not the asker's.
    return frozenset(zoneinfo.available_timezones() - {"localtime"})


def last_open_day(now: dt.datetime) -> dt.date:
    """The last day whose events are counted at the time ``now``: tomorrow, in UTC.

    A producer's clock may be ahead of the database's by up to a day. Events of later days are held
    back until their day opens.
    """
    return now.astimezone(dt.UTC).date() + ONE_DAY


def contiguous_ranges(days: Iterable[dt.date], bridged: int = 0) -> list[DayRange]:
    """The smallest number of ranges that contain the given days, in order.

    The ranges include gaps of up to ``bridged`` days, and no other days.
    """
    ranges: list[DayRange] = []
    for day in sorted(set(days)):
        if ranges and day - ranges[-1].last <= (bridged + 1) * ONE_DAY:
            ranges[-1] = ranges[-1]._replace(last=day)
        else:
            ranges.append(DayRange(day, day))
    return ranges


Key = TypeVar("Key", dt.date, str)


def chunks(sizes: Mapping[Key, int], limit: int) -> Iterator[list[Key]]:
    """Splits the days, or other keys, of ``sizes`` in order into lists of at most ``limit`` in total.

    A day that is larger than ``limit`` gets its own list.
    """
    chunk: list[Key] = []
    size = 0
    for key in sorted(sizes):
        if chunk and size + sizes[key] > limit:
            yield chunk
            chunk, size = [], 0
        chunk.append(key)
        size += sizes[key]
    if chunk:
        yield chunk
