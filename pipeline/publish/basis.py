"""What was published when a publish began, to notice whether another publish came in between."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from importlib import resources

import polars as pl
from sqlalchemy import Connection, select, text

from pipeline import stats
from pipeline.database.queries import query
from pipeline.database.tables import STATS_TABLES, stats_day, user_stats_day
from pipeline.lake import source
from pipeline.lake.delta_table import fingerprint
from pipeline.lake.ownership import OWNER
from pipeline.lake.usage_events import open_usage_events
from pipeline.publish.copy import frame_of
from pipeline.publish.guard import require_known_lake

PUBLISHED_SUMS = text(query("publish/published_sums"))
ENGINE_QUERIES = ("engine/merged_partials", "engine/merged_values", "engine/prompt_days")

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
    the stats, and those of users, were made from. ``stats_version``: of what the stats tables hold, and
    ``is_as_published``: whether the last publish left them so, by today's code.
    """

    refresh: tuple[int, int] | None
    today: dt.date | None
    lake_id: int | None
    days: pl.DataFrame
    user_days: pl.DataFrame
    stats_version: int
    is_as_published: bool

    def equals(self, other: Basis) -> bool:
        """Whether nothing came in between."""
        return (
            (self.refresh, self.lake_id, self.stats_version)
            == (other.refresh, other.lake_id, other.stats_version)
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
    version = stats_version(connection)
    return Basis(
        (previous["id"], previous["high"]) if previous else None,
        previous["as_of"].astimezone(dt.UTC).date() if previous else None,
        events.transaction(OWNER),
        frame_of(connection.execute(select(*(stats_day.c[name] for name in DAYS))), DAYS).sort("day"),
        frame_of(connection.execute(select(*(user_stats_day.c[name] for name in USER_DAYS))), USER_DAYS).sort(
            "day"
        ),
        version,
        previous is not None and previous["stats_version"] == version,
    )


def stats_version(connection: Connection) -> int:
    """A fingerprint of how much the stats tables hold, and of the code and columns that make them."""
    rows = connection.execute(PUBLISHED_SUMS).all()
    columns = [str(column) for table in STATS_TABLES for column in table.c]
    return fingerprint([*map(repr, rows), *columns, *map(query, ENGINE_QUERIES), *code_of_stats()])


@cache
def code_of_stats() -> tuple[str, ...]:
    """The texts of the modules that make stats of partials."""
    modules = sorted(resources.files(stats).iterdir(), key=lambda file: file.name)
    return tuple(file.read_text(encoding="utf-8") for file in modules if file.name.endswith(".py"))
