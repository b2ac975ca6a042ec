"""Compares the events in the lake's files with those in Postgres, day by day."""

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
    """A day's contents: the number of its events, the largest ``ingest_xid``, a checksum of all values."""

    usage_count: int
    mark: int
    checksum: int

    def is_same_as(self, other: Contents) -> bool:
        """Whether both have the same events, even if different transactions wrote them."""
        return (self.usage_count, self.checksum) == (other.usage_count, other.checksum)


NOTHING = Contents(0, -1, 0)


def in_postgres(
    connection: Connection, days: Collection[dt.date], high: int, first_day: dt.date
) -> dict[dt.date, Contents]:
    """The contents of the days in Postgres below ``high``, for days that have any events."""
    given = {"from_day": min(days), "to_day": max(days), "high": high, "first_day": first_day}
    rows = connection.execute(DAY_CONTENTS, given)
    return {row.day: Contents(row.usage_count, row.mark, row.checksum) for row in rows if row.day in days}


def in_lake(
    events: DailyTable, days: Collection[dt.date], high: int | None = None
) -> tuple[dict[dt.date, Contents], dict[dt.date, str]]:
    """The contents of the days in the lake's files, below ``high`` if given; and why days can't be read."""
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
    """The checksum of each day's events in the lake's files, or None if they can't be read."""
    found, unreadable = in_lake(events, days)
    return {day: None if day in unreadable else found.get(day, NOTHING).checksum for day in days}


def differences(
    postgres: Mapping[dt.date, Contents], lake: Mapping[dt.date, Contents], days: Iterable[dt.date]
) -> dict[dt.date, str]:
    """The days that differ, and how."""
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
