"""What is published, as far as a publish that comes next rests on it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl
from sqlalchemy import Connection, select

from pipeline.lake import source
from pipeline.lake.ownership import OWNER
from pipeline.lake.usage_events import open_usage_events
from pipeline.publish.copy import frame_of
from pipeline.publish.guard import require_known_lake
from pipeline.tables import stats_day, user_stats_day

DAYS = {"day": pl.Date, "usage_count": pl.Int64, "ingest_xid": pl.Int64, "events_version": pl.Int64}
USER_DAYS = {
    "day": pl.Date,
    "ingest_xid": pl.Int64,
    "synced_high": pl.Int64,
    "events_version": pl.Int64,
    "rollup_version": pl.Int64,
}


@dataclass(frozen=True)
class Basis:
    """Read before the lake is, and again within the transaction: if it differs, something came between.

    ``refresh``: the id and the watermark of the last publish; ``today``: the day before which the periods of
    its stats end; both None before the first. ``lake_id``: the identity of the lake, which
    stays the same as long as the database knows all that was committed to it. ``days``, ``user_days``: what
    the stats, and those of users, were made from.
    """

    refresh: tuple[int, int] | None
    today: dt.date | None
    lake_id: int | None
    days: pl.DataFrame
    user_days: pl.DataFrame

    def equals(self, other: Basis) -> bool:
        """Whether nothing came between."""
        return (
            (self.refresh, self.lake_id) == (other.refresh, other.lake_id)
            and self.days.equals(other.days)
            and self.user_days.equals(other.user_days)
        )


def read_basis(connection: Connection, lake: str) -> Basis:
    """The basis now.

    A lake that the database does not know is given a new identity before anybody commits to it. So if the
    database knows the lake before and after, under one identity, it knows all states in between.

    :raises LakeError: the database does not know the lake (:func:`require_known_lake`).
    """
    events = open_usage_events(lake)
    require_known_lake(connection, events)
    previous = source.latest_refresh(connection)
    return Basis(
        (previous["id"], previous["high"]) if previous else None,
        previous["as_of"].astimezone(dt.UTC).date() if previous else None,
        events.transaction(OWNER),
        frame_of(connection.execute(select(*(stats_day.c[name] for name in DAYS))), DAYS).sort("day"),
        frame_of(connection.execute(select(*(user_stats_day.c[name] for name in USER_DAYS))), USER_DAYS).sort(
            "day"
        ),
    )
