"""Checks the lake before anything made from it is published.

A publish may follow any step: Dagster runs the write-back of a backfill separately from its days, and checks
of an orchestrator do not block it. So each publish makes these checks itself. If one fails, the published
stats stay as they are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

import polars as pl
from sqlalchemy import Connection, select, text

from pipeline.database import tables
from pipeline.database.queries import query
from pipeline.errors import LakeError
from pipeline.lake import source
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.ownership import Ownership, identify
from pipeline.lake.partials import COMPLETE

LOST_DAYS = text(query("publish/lost_days"))

ADDED = pl.col("usage_count", "^(success|failure|timed)_count$", "^generation_time_.*_sum$")
"""The columns with the same sum in each dimension that every event has."""

RECONCILE = "Nothing was published. Run prompt-stats reconcile, which compares everything with the raw events"


def require_known_lake(connection: Connection, events: DailyTable) -> None:
    """Makes sure that the lake belongs to this database, which knows everything in it.

    :raises LakeError: it is not, or it does: the database went back in time.
    """
    if identify(connection, events) is Ownership.UNKNOWN:
        raise LakeError(
            "Publishing the stats",
            "the lake has commits that the database does not know: the database was restored, and the lake"
            " has not been brought in line with it",
            "The stats stay as they were; run: prompt-stats refresh",
        )


def require_progress(snapshot: source.Snapshot, previous: Mapping[str, Any] | None) -> None:
    """Makes sure that the watermark does not go back.

    :raises LakeError: it would.
    """
    published_high = previous["high"] if previous else 0
    if published_high > snapshot.high:
        raise LakeError(
            "Publishing the stats",
            f"the watermark would go back, from {published_high} to {snapshot.high}: the database was"
            " restored, and the lake has not been brought in line with it",
            "The stats stay as they were; run: prompt-stats refresh",
        )


def require_published_days(
    connection: Connection,
    held: pl.DataFrame,
    expired: Mapping[dt.date, source.ExpiredDay],
    previous: Mapping[str, Any] | None,
    first_day: dt.date,
) -> None:
    """Makes sure that the partials have each published day, in no older state than the published one.

    ``held``: what the partials hold, day by day, as ``DailyTable.days`` says.

    :raises LakeError: days are missing or older.
    """
    marks: dict[dt.date, int] = dict(held.select("day", "mark").iter_rows())
    published: dict[dt.date, int] = {
        row.day: row.ingest_xid
        for row in connection.execute(select(tables.stats_day.c.day, tables.stats_day.c.ingest_xid))
    }
    early = sorted(day for day in marks if day < first_day)
    if early:
        raise LakeError(
            "Publishing the stats",
            f"the lake holds {len(early)} days before {first_day}, the first day that is counted",
            "The stats stay as they were; run the interrupted command again: prompt-stats accept-settings",
        )
    gone = sorted(day for day, kept in expired.items() if kept.usage_count and day not in marks)
    if gone:
        raise LakeError(
            "Publishing the stats",
            f"the lake has lost {len(gone)} days from {gone[0]} on whose raw rows were removed from Postgres",
            "Check PROMPT_STATS_LAKE_URI, and restore the lake from its backup. To give up these days"
            " instead, delete them from stats_expired_day",
        )
    missing = sorted(published.keys() - marks.keys())
    lost = list(connection.scalars(LOST_DAYS, {"days": missing, "first_day": first_day})) if missing else []
    if lost:
        raise LakeError(
            "Publishing the stats",
            f"the lake lacks {len(lost)} published days, from {lost[0]} to {lost[-1]}",
            "The stats stay as they were; run: prompt-stats refresh",
        )
    # A day that was read again since may have lost its last row; one that was not can only have grown.
    # Marks at or above the published watermark are looked for in Postgres anyway.
    high = previous["high"] if previous else 0
    older = [
        day
        for day, mark, synced_high in held.select("day", "mark", "synced_high").iter_rows()
        if day not in expired and max(mark, synced_high - 1) < published.get(day, mark) < high
    ]
    if older:
        raise LakeError(
            "Publishing the stats",
            f"the lake holds {len(older)} days, from {older[0]} to {older[-1]}, in a state from before the"
            " last publish",
            RECONCILE,
        )


def require_sums(
    totals: pl.DataFrame,
    counts: Mapping[dt.date, int],
    raw: Mapping[dt.date, int],
    stale: Collection[dt.date],
) -> None:
    """Makes sure that the days' sums equal the merged totals, in each dimension, and the raw events.

    ``totals``: the merged partials. ``counts``: events by day in the partials; ``raw``: in the lake's raw
    events; ``stale``: the days whose partials are known to be of other raw events.

    :raises LakeError: they do not; something was lost on the way, or counted twice.
    """
    summed = totals.filter(pl.col("dimension").is_in(COMPLETE)).group_by("dimension").agg(ADDED.sum())
    for column in summed.columns[1:]:
        sums = dict(summed.select("dimension", column).iter_rows())
        sums = {dimension: sums.get(dimension, 0) for dimension in COMPLETE}
        if len(set(sums.values())) > 1:
            raise LakeError(
                "Merging the partials for a publish",
                f"the dimensions have different sums of {column}: {sums}",
                RECONCILE,
            )
    usage_count = int(totals.filter(pl.col("dimension") == "prompt")["usage_count"].sum())
    total = sum(counts.values())
    if total != usage_count:
        raise LakeError(
            "Merging the partials for a publish",
            f"the days count {total} events, but their total counts {usage_count}",
            RECONCILE,
        )
    unequal = {
        day: (counts.get(day, 0), raw.get(day, 0))
        for day in sorted(counts.keys() | raw.keys())
        if day not in stale and counts.get(day, 0) != raw.get(day, 0)
    }
    if unequal:
        day, (found, expected) = next(iter(unequal.items()))
        raise LakeError(
            "Merging the partials for a publish",
            f"those of {len(unequal)} days do not count all raw events of the lake; the first is {day} with"
            f" {found} of {expected}",
            RECONCILE,
        )
