"""The steps of a refresh in order, without Dagster: what to do, then sync, roll up, publish.

Dagster runs the same steps as assets (``pipeline.orchestration``); this is for tests, benchmarks and
callers that have an orchestrator of their own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select

from pipeline.database import Database
from pipeline.days import ONE_DAY, DayRange
from pipeline.lake import source
from pipeline.lake.partials import open_partials, roll_up_days, stale_days
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.publish.publish import PublishReport, publish
from pipeline.tables import stats_day


@dataclass(frozen=True)
class Plan:
    """What a refresh has to do. ``days``: to sync and roll up, in order; the last refresh, or None."""

    days: list[dt.date]
    snapshot: source.Snapshot
    previous_as_of: dt.datetime | None


def plan_refresh(database: Database, lake: str, first_day: dt.date) -> Plan:
    """The days that are stale: in Postgres, since the last publish, or within the lake.

    New rows since the published watermark, updated and deleted rows, days that opened since, published
    days that the lake does not have, and days whose partials are older than their raw events, as a crash
    may leave them.
    """
    with database.engine.connect() as connection:
        snapshot = source.take_snapshot(connection)
        previous = source.progress_since(connection, snapshot)
        since = previous["high"] if previous else 0
        days: set[dt.date] = set(source.touched_days(connection, snapshot, since, first_day))
        changed = source.invalidated_days(connection, first_day)
        published = set(connection.scalars(select(stats_day.c.day)))
    events = open_usage_events(lake)
    held = set(events.days()["day"])
    # A lake that was lost, or is another one than before, is read anew.
    days |= published - held
    if None in changed:
        days |= held
    days |= {day for day in changed if day is not None}
    if previous:
        days.update(DayRange(previous["open_until"] + ONE_DAY, snapshot.open_until).days())
    days.update(stale_days(open_partials(lake), events))
    return Plan(
        sorted(day for day in days if first_day <= day <= snapshot.open_until),
        snapshot,
        previous["as_of"] if previous else None,
    )


def refresh(
    database: Database,
    lake: str,
    first_day: dt.date,
    days: Collection[dt.date] | None = None,
    *,
    replace: bool = False,
) -> PublishReport:
    """Brings the stats up to date; ``days`` limits the work, ``replace`` reads those days again whole."""
    wanted = plan_refresh(database, lake, first_day).days if days is None else days
    sync_days(database, lake, first_day, wanted, replace=replace)
    roll_up_days(database, lake, wanted)
    return publish(database, lake, first_day)
