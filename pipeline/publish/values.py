"""The stats by prompt and scene, environment, outfit that do not add up from day to day.

Distinct users, percentiles and periods by value: partials of them would be as many as the events. So they are
counted from all raw events of the lake, some prompts at a time, once a day and at a pace of their own; the
transaction that publishes them is short.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from sqlalchemy import Text, cast, func, select, update

from pipeline import tables
from pipeline.database import Database, Lock, lock_transaction
from pipeline.days import chunks
from pipeline.engines import duckdb_engine
from pipeline.errors import LakeError
from pipeline.lake import source
from pipeline.lake.usage_events import open_usage_events
from pipeline.publish.copy import read_table, replace_groups
from pipeline.stats import frames
from pipeline.stats.changes import changed_groups

logger = logging.getLogger(__name__)

EVENTS_AT_ONCE = 5_000_000
"""Raw events of the prompts that are counted at once, about: bounds the memory. A prompt is never split."""


@dataclass(frozen=True)
class ValuesReport:
    """``rows``: rows of ``prompt_value_stats`` written or deleted. ``as_of``: that of the stats then."""

    rows: int
    as_of: dt.datetime
    seconds: float


def publish_values(database: Database, lake: str) -> ValuesReport:
    """Counts from the raw events, and brings ``prompt_value_stats`` up to date.

    What the published stats contain is in the lake before they are; so ``as_of`` is theirs, as it was before
    the lake was opened.

    :raises LakeError: nothing was published yet, or the lake can't be read.
    """
    started = time.perf_counter()
    # One at a time: an older count would else come after a newer one, and bring an erased person back.
    with database.locked(Lock.VALUES):
        with database.engine.connect() as connection:
            latest = source.latest_refresh(connection)
            stats = tables.prompt_stats
            used = select(cast(stats.c.prompt_id, Text), stats.c.usage_count).where(stats.c.usage_count > 0)
            sizes = {row.prompt_id: row.usage_count for row in connection.execute(used)}
        if latest is None:
            raise LakeError(
                "Counting by scene, environment and outfit",
                "no stats were published yet",
                "Run prompt-stats refresh first",
            )
        as_of: dt.datetime = latest["as_of"]
        wanted = _counted(lake, sizes, as_of.astimezone(dt.UTC).date())
        rows = _publish(database, wanted, as_of)
    seconds = time.perf_counter() - started
    logger.info("published %d rows by value as of %s in %.1f s", rows, as_of, seconds)
    return ValuesReport(rows, as_of, seconds)


def _counted(lake: str, sizes: dict[str, int], today: dt.date) -> pl.DataFrame:
    events = open_usage_events(lake).read()
    parts = list(chunks(sizes, EVENTS_AT_ONCE)) or [[]]
    return pl.concat(_count(events, prompts, today) for prompts in parts)


def _count(events: ds.Dataset, prompts: Collection[str], today: dt.date) -> pl.DataFrame:
    part = events.filter(ds.field("prompt_id").isin(pa.array(prompts, pa.string())))
    counts = duckdb_engine.run("prompt_value_counts", {"today": today}, usage_events=part)
    times = duckdb_engine.run("prompt_value_times", usage_events=part)
    return frames.prompt_value_stats(counts, times)


def _publish(database: Database, wanted: pl.DataFrame, as_of: dt.datetime) -> int:
    table, refreshes = tables.prompt_value_stats, tables.stats_refresh
    with database.engine.begin() as connection:
        lock_transaction(connection, Lock.PUBLISH)
        # The lock keeps others from writing the table, so a second connection reads what we would.
        with database.adbc() as reader:
            published = read_table(reader, table, table.c.keys())
        wanted = wanted.select(published.columns).cast(published.schema)
        rows = replace_groups(connection, table, "prompt_id", changed_groups(published, wanted, "prompt_id"))
        latest = select(func.max(refreshes.c.id)).scalar_subquery()
        connection.execute(update(refreshes).where(refreshes.c.id == latest).values(value_stats_as_of=as_of))
    return rows
