"""Compares what the lake holds, read from its files, with what Postgres holds, day by day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, text

from pipeline.database.queries import query
from pipeline.engines import duckdb_engine
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.isolation import run_isolated

DAY_CONTENTS = text(query("lake/day_contents"))


class Contents(NamedTuple):
    """What a day holds: the number of its events, the largest ``ingest_xid``, a checksum of all values."""

    usage_count: int
    mark: int
    checksum: int

    def is_same_as(self, other: Contents) -> bool:
        """Whether both hold the same events, whichever transactions wrote them."""
        return (self.usage_count, self.checksum) == (other.usage_count, other.checksum)


NOTHING = Contents(0, -1, 0)


def in_postgres(
    connection: Connection, days: Collection[dt.date], high: int, first_day: dt.date
) -> dict[dt.date, Contents]:
    """What Postgres holds below ``high``, of those of the days that have any."""
    given = {"from_day": min(days), "to_day": max(days), "high": high, "first_day": first_day}
    rows = connection.execute(DAY_CONTENTS, given)
    return {row.day: Contents(row.usage_count, row.mark, row.checksum) for row in rows if row.day in days}


def in_lake(
    events: DailyTable, days: Collection[dt.date], high: int | None = None
) -> tuple[dict[dt.date, Contents], dict[dt.date, str]]:
    """What the lake's files hold, below ``high`` if it is given; the days that can't be read, and why."""
    found: dict[dt.date, Contents] = {}

    def read(part: list[dt.date]) -> None:
        rows = events.scan(part)
        if high is not None:
            rows = rows.where(("ingest_xid", "<", high))
        result = duckdb_engine.run("day_contents", usage_events=rows)
        found.update({day: Contents(*contents) for day, *contents in result.iter_rows()})

    held = sorted(set(days) & set(events.days()["day"]))
    unreadable = run_isolated([held] if held else [], read)
    return found, unreadable


def checksums(events: DailyTable, days: Collection[dt.date]) -> dict[dt.date, int | None]:
    """Of each of the days the checksum of all that the lake's files hold; None where they can't be read."""
    found, unreadable = in_lake(events, days)
    return {day: None if day in unreadable else found.get(day, NOTHING).checksum for day in days}


def differences(
    postgres: Mapping[dt.date, Contents], lake: Mapping[dt.date, Contents], days: Iterable[dt.date]
) -> dict[dt.date, str]:
    """The days that are not the same, and how they differ."""
    said: dict[dt.date, str] = {}
    for day in days:
        there, here = postgres.get(day, NOTHING), lake.get(day, NOTHING)
        if there.usage_count != here.usage_count:
            said[day] = f"Postgres has {there.usage_count} events and the lake {here.usage_count}"
        elif there.mark != here.mark:
            said[day] = f"the largest transaction id is {there.mark} in Postgres and {here.mark} in the lake"
        elif there.checksum != here.checksum:
            said[day] = "the same number of events, with other values"
    return said
