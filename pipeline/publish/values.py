"""The stats by prompt and scene, environment and outfit that can't be summed over days.

These are distinct users, percentiles, periods and errors by value, of which there would be as many partials
as events. So they are counted from all raw events of the lake, some prompts at a time, once per day on their
own schedule, unless nothing has changed. The transaction that publishes them is short.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl
from sqlalchemy import Table, Text, cast, func, select, update

from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.database.locks import Lock, lock_transaction
from pipeline.database.queries import query
from pipeline.days import chunks
from pipeline.engines import duckdb_engine, rollups
from pipeline.errors import LakeError, LostDaysError
from pipeline.installation import Installation
from pipeline.lake import damage, source
from pipeline.lake.delta_table import DailyTable, fingerprint
from pipeline.lake.partials import error_kinds
from pipeline.lake.usage_events import open_own_events
from pipeline.publish.basis import stats_version
from pipeline.publish.copy import changes_of, read_table, reading, write_changes
from pipeline.stats import frames
from pipeline.stats.errors import FOLDS, LONGEST_KIND

logger = logging.getLogger(__name__)

EVENTS_PER_BATCH = 5_000_000
"""About how many raw events are counted at once, to limit the memory. A prompt is never split."""

QUERIES = ("prompt_value_counts", "prompt_value_errors")

COUNTING = "Counting by scene, environment and outfit"


@dataclass(frozen=True)
class ValuesReport:
    """``rows_written``: rows written or deleted, by table. ``as_of``: that of the stats then.

    ``is_same``: whether they had been counted from the same events before, so that no row should differ.
    """

    rows_written: dict[str, int]
    as_of: dt.datetime
    seconds: float
    is_same: bool


def publish_values(installation: Installation, *, again: bool = False) -> ValuesReport:
    """Counts the stats by value from the raw events, and publishes them.

    If the events have not changed since the last count, they are not counted again, unless ``again`` is true.

    What the published stats contain is in the lake before they are; so ``as_of`` is theirs, as it was before
    the lake was opened.

    :raises LakeError: nothing was published yet, or the lake can't be read.
    :raises LostDaysError: it does not hold expired days as they were.
    """
    database = installation.database
    started = time.perf_counter()
    # One at a time: an older count would else come after a newer one, and bring an erased person back.
    with database.locked(Lock.VALUES):
        with database.engine.connect() as connection:
            latest = source.latest_refresh(connection)
            stats = tables.prompt_stats
            used = select(cast(stats.c.prompt_id, Text), stats.c.usage_count).where(stats.c.usage_count > 0)
            sizes = {row.prompt_id: row.usage_count for row in connection.execute(used)}
            is_as_published = latest is None or latest["stats_version"] in (None, stats_version(connection))
        if latest is None or not is_as_published:
            raise LakeError(
                COUNTING,
                "other processes changed the published stats"
                if latest
                else "no stats have been published yet",
                "Run prompt-stats refresh first",
            )
        as_of: dt.datetime = latest["as_of"]
        events = open_own_events(installation)
        if lost := damage.note_lost_days(database, events):
            raise LostDaysError(
                COUNTING,
                min(lost.items())[1].rstrip("."),
                "The stats by value stay as they were",
            )
        today = as_of.astimezone(dt.UTC).date()
        version = _version(events, sizes, today)
        is_same = version == latest["value_stats_version"]
        wanted = [] if is_same and not again else list(_counted(events, sizes, today))
        rows_written = _publish(database, wanted, as_of, version)
    seconds = time.perf_counter() - started
    logger.info("published %s by value as of %s in %.1f s", json.dumps(rows_written), as_of, seconds)
    return ValuesReport(rows_written, as_of, seconds, is_same)


def _version(events: DailyTable, sizes: Mapping[str, int], today: dt.date) -> int:
    """A fingerprint of everything that the stats by value are made from."""
    return fingerprint(
        map(
            repr,
            [
                today,
                *map(query, (f"engine/{name}" for name in QUERIES)),
                (FOLDS, LONGEST_KIND),
                *events.days().select("day", "version").iter_rows(),
                *sorted(sizes.items()),
            ],
        )
    )


def _counted(table: DailyTable, sizes: dict[str, int], today: dt.date) -> Iterator[dict[Table, pl.DataFrame]]:
    """What each table shall hold of some prompts, until all have come."""
    events = table.scan()
    for prompts in list(chunks(sizes, EVENTS_PER_BATCH)) or [[]]:
        part = table.scan([])
        if prompts:
            # A range, not a list of a hundred thousand.
            part = events.where(("prompt_id", ">=", prompts[0]), ("prompt_id", "<=", prompts[-1]))
        counts, errors = (
            rows.filter(pl.col("prompt_id").is_in(prompts))
            for rows in (
                duckdb_engine.run("prompt_value_counts", {"today": today}, usage_events=part),
                rollups.run("prompt_value_errors", usage_events=part, error_kinds=error_kinds(part)),
            )
        )
        yield {
            tables.prompt_value_stats: frames.prompt_value_stats(counts),
            tables.prompt_value_error_stats: errors,
        }


def _publish(
    database: Database, parts: list[dict[Table, pl.DataFrame]], as_of: dt.datetime, version: int
) -> dict[str, int]:
    """Writes what differs; without parts, the stats are as they should be."""
    rows_written = {table.name: 0 for table in tables.VALUE_TABLES}
    with database.engine.begin() as connection:
        lock_transaction(connection, Lock.PUBLISH)
        if parts:
            with reading(database, connection, tables.VALUE_TABLES) as reader:
                for table in tables.VALUE_TABLES:
                    published = read_table(reader, table, [column.name for column in table.c])
                    changes = changes_of(table, published, pl.concat(part[table] for part in parts))
                    rows_written[table.name] = write_changes(connection, table, changes)
        made = {"value_stats_as_of": as_of, "value_stats_version": version}
        refreshes = tables.stats_refresh
        latest = select(func.max(refreshes.c.id)).scalar_subquery()
        connection.execute(update(refreshes).where(refreshes.c.id == latest).values(made))
    return rows_written
