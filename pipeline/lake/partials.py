"""The lake table ``prompt_usage_daily``: each day's rollup, recomputed whole from the day's raw events.

A partial row carries ``events_version``, the fingerprint of the raw files it was made from, so that a
stale day shows in the log, whatever happened to the process that should have refreshed it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

import polars as pl
import pyarrow as pa

from pipeline.database import Database, Lock
from pipeline.days import chunks
from pipeline.engines import duckdb_engine
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.usage_events import open_usage_events

logger = logging.getLogger(__name__)

EVENTS_AT_ONCE = 2_000_000
"""Raw events of one rollup query, about: bounds the memory of a long range. A day is never split."""

TABLE = "prompt_usage_daily"

SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("dimension", pa.string()),
        ("value", pa.string()),
        ("usage_count", pa.int64()),
        ("success_count", pa.int64()),
        ("failure_count", pa.int64()),
        ("timed_count", pa.int64()),
        ("generation_time_ms_sum", pa.int64()),
        ("generation_time_ms_min", pa.int64()),
        ("generation_time_ms_max", pa.int64()),
        ("first_used_at", pa.timestamp("us", tz="UTC")),
        ("last_used_at", pa.timestamp("us", tz="UTC")),
        ("ingest_xid", pa.int64()),
        ("synced_high", pa.int64()),
        ("events_version", pa.int64()),
        ("day", pa.date32()),
    ]
)
"""Columns of ``sql/engine/prompt_usage_daily.sql``, and ``events_version``."""


def open_partials(lake: str) -> DailyTable:
    """The table, at its latest state."""
    return DailyTable(lake, TABLE, SCHEMA)


@dataclass(frozen=True)
class RollupReport:
    """What a rollup did: the days that were stale and are recomputed, the rows written, the rows read."""

    days: list[dt.date]
    rows: int
    events: int


def stale_days(partials: DailyTable, events: DailyTable) -> list[dt.date]:
    """The days whose partials were not made from the raw events that the lake holds."""
    made_from = dict(partials.days().select("day", "events_version").iter_rows())
    raw = dict(events.days().select("day", "version").iter_rows())
    return sorted(day for day in raw.keys() | made_from.keys() if raw.get(day) != made_from.get(day))


def roll_up_days(database: Database, lake: str, days: Collection[dt.date]) -> RollupReport:
    """Recomputes the partials of those of the given days that are stale.

    :raises LakeConflictError: somebody wrote to the lake meanwhile; what was committed is complete.
    """
    with database.locked(Lock.LAKE):
        # The target first: whoever changes a day after this either conflicts, or is read here.
        target = open_partials(lake)
        events = open_usage_events(lake)
        raw = events.days().select("day", "usage_count", "synced_high", events_version="version")
        sizes = dict(raw.select("day", "usage_count").iter_rows())
        stale = sorted(set(days) & set(stale_days(target, events)))
        rows = 0
        for chunk in chunks({day: sizes.get(day, 0) for day in stale}, EVENTS_AT_ONCE):
            present = raw.filter(pl.col("day").is_in(chunk))
            result = duckdb_engine.run(TABLE, usage_events=events.read(present["day"].to_list()))
            # Sorted, so that a reader of one dimension skips the others' row groups.
            result = result.join(present.select("day", "events_version"), on="day").sort("dimension")
            table = result.select(target.schema.names).to_arrow().cast(target.schema)
            target.replace(chunk, table, int(cast("int | None", present["synced_high"].max()) or 0))
            rows += table.num_rows
            logger.info("%s: %d days up to %s recomputed", TABLE, len(chunk), chunk[-1])
        return RollupReport(stale, rows, sum(sizes.get(day, 0) for day in stale))
