"""The partitions of the table of raw events: the days of each, and what happens to days that were dropped.

``DROP`` and ``DETACH`` fire no trigger, and the rows disappear without a trace. People do this to keep large
tables from growing, and the numbers should stay. So a day that the lake has completely expires
(``pipeline.maintenance.retention``), unless ``PROMPT_STATS_DROPPED_PARTITIONS`` says that numbers go down.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, text

from pipeline.adoption.triggers import TRIGGERS
from pipeline.database.queries import query
from pipeline.database.tables import stats_expired_day
from pipeline.days import ONE_DAY
from pipeline.lake import source
from pipeline.lake.contents import NOTHING, Contents, in_postgres

logger = logging.getLogger(__name__)

PARTITIONS = text(query("lake/partitions"))
HAS_ROWS = text(query("lake/has_rows"))
CHANGED_DAYS = text(query("lake/changed_days"))

RANGE = re.compile(r"FOR VALUES FROM \((.*)\) TO \((.*)\)", re.DOTALL)
TIME = re.compile(r"'(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00)?'(,.*)?", re.DOTALL)
"""How the sessions of the pipeline show a time of the years that calendars have."""

REMEDY = (
    "Attach it again, or set PROMPT_STATS_DROPPED_PARTITIONS=count-down for one refresh, after which these"
    " events are no longer counted"
)


@dataclass(frozen=True)
class Partition:
    """A partition directly below the table, as ``stats_source`` remembers it.

    ``first``, ``last``: the first and last day that it may have rows of, in ISO 8601, or None without a
    bound. ``state``: a fingerprint of what may change without a trigger. ``relations``: the partition and all
    below it, if this role may drop it; they are not remembered.
    """

    relation: int
    name: str
    first: str | None
    last: str | None
    state: str
    relations: tuple[int, ...] = field(default=(), compare=False)

    @property
    def is_bounded(self) -> bool:
        """Whether it has a first and a last day."""
        return self.first is not None and self.last is not None

    def has(self, day: dt.date, first_day: dt.date) -> bool:
        """Whether it may have rows that count on this day."""
        # What is older than the first day counts on that, and so do undated rows.
        starts = self.first is None or max(dt.date.fromisoformat(self.first), first_day) <= day
        return starts and (self.last is None or day <= max(dt.date.fromisoformat(self.last), first_day))

    def days(self, first_day: dt.date, last_day: dt.date) -> Iterator[dt.date]:
        """All days of a bounded partition, up to ``last_day``."""
        day = max(dt.date.fromisoformat(self.first or ""), first_day)
        last = min(max(dt.date.fromisoformat(self.last or ""), first_day), last_day)
        while day <= last:
            yield day
            day += ONE_DAY


def read_partitions(connection: Connection, table: str) -> tuple[Partition, ...]:
    """The present partitions; none for an ordinary table. ``table``: its name, as SQL."""
    rows = connection.execute(PARTITIONS, {"table": table, "triggers": list(TRIGGERS)})
    return tuple(
        Partition(row.relation, row.name, *days_of(row.bound), row.state, tuple(row.relations))
        for row in rows
    )


def remembered(partitions: Iterable[Partition]) -> list[dict[str, object]]:
    """The partitions in the form that ``stats_source`` stores."""
    kept = ("relation", "name", "first", "last", "state")
    return [{name: getattr(each, name) for name in kept} for each in partitions]


def days_of(bound: str) -> tuple[str | None, str | None]:
    """The first and the last day of a partition's bound, with None for a missing one."""
    found = RANGE.fullmatch(bound)
    if not found:
        return None, None
    start, end = (TIME.fullmatch(each) for each in found.groups())
    last = None
    if end:
        last = dt.date.fromisoformat(end[1])
        # The end is not part of it, unless further columns follow.
        if end[2] == "00:00:00" and not end[3]:
            last -= ONE_DAY
    return start[1] if start else None, last.isoformat() if last else None


class Month(NamedTuple):
    """The comparison of a month. ``different``: how Postgres and the lake differ, by day. ``unreadable``: why
    files of the lake can't be read. ``published``: the events of each published day.
    """

    different: Mapping[dt.date, str]
    in_postgres: Mapping[dt.date, Contents]
    in_lake: Mapping[dt.date, Contents]
    unreadable: Mapping[dt.date, str]
    published: Mapping[dt.date, int]


def settle_gone(
    connection: Connection,
    gone: Collection[Partition],
    come: Collection[Partition],
    month: Month,
    first_day: dt.date,
    high: int,
) -> tuple[set[dt.date], dict[dt.date, str]]:
    """Lets days of dropped partitions expire. Returns them, and doubtful days with reasons.

    ``gone``, ``come``: partitions that disappeared, and new ones. Days in neither answer are counted as
    Postgres has them now, also if a new partition with rows replaced the old one.
    """
    changed = set(connection.scalars(CHANGED_DAYS, {"first_day": first_day}))
    if None in source.invalidated_days(connection, first_day):
        # All rows were deleted before, or may have been.
        return set(), {}
    already = source.expired_days(connection)
    filled = [each for each in come if each.is_bounded and _has_rows(connection, each)]
    expired: list[dict[str, object]] = []
    doubtful: dict[dt.date, str] = {}
    for day in sorted(month.different.keys() - already.keys()):
        partition = next((each.name for each in gone if each.has(day, first_day)), None)
        in_its_place = come if day in month.in_postgres else filled
        is_replaced = any(each.has(day, first_day) for each in in_its_place)
        if partition is None or is_replaced:
            continue
        here = month.in_lake.get(day, NOTHING)
        if day in changed:
            why = "rows of it were changed since the last refresh"
        elif day in month.unreadable:
            why = f"the lake does not have them whole: {month.unreadable[day]}"
        elif here.usage_count < month.published.get(day, 0):
            why = f"the lake has {here.usage_count} of {month.published[day]} events"
        else:
            given = {"usage_count": here.usage_count, "checksum": here.checksum}
            expired.append({"day": day, **given, "high": high, "partition": partition})
            logger.warning(
                "%s: the partition %s is gone; the lake keeps its %d events", day, partition, here.usage_count
            )
            continue
        doubtful[day] = f"The partition {partition} is gone with its events, and {why}. {REMEDY}"
        logger.error("%s: %s", day, doubtful[day])
    if expired:
        connection.execute(insert(stats_expired_day), expired)
    return {dt.date.fromisoformat(str(row["day"])) for row in expired}, doubtful


def _has_rows(connection: Connection, partition: Partition) -> bool:
    given = {"first": partition.first, "last": partition.last, "relation": partition.relation}
    return bool(connection.execute(HAS_ROWS, given).scalar_one())


def settle_come(
    connection: Connection,
    days: Collection[dt.date],
    back: Collection[dt.date],
    in_lake: Mapping[dt.date, Contents],
    high: int,
    first_day: dt.date,
) -> set[dt.date]:
    """Ends the expiry of days of which Postgres has everything that the lake has, and returns them.

    ``back``: days whose own partition was attached again, whatever it has now.
    """
    # Retention locks the days whose rows it removes.
    own = stats_expired_day.c.day.in_(days)
    connection.execute(select(stats_expired_day.c.day).where(own).with_for_update())
    there = in_postgres(connection, days, high, first_day)
    returned = {
        day for day in days if day in back or there.get(day, NOTHING).is_same_as(in_lake.get(day, NOTHING))
    }
    connection.execute(stats_expired_day.delete().where(stats_expired_day.c.day.in_(returned)))
    for day in sorted(returned):
        logger.warning("%s: the %d events are in Postgres again", day, there.get(day, NOTHING).usage_count)
    return returned
