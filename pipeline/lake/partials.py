"""The lake's rollups, and the table by day, whose partials are recomputed per day from raw events.

A rollup is one query over the raw events, with tables of partials by month and in total
(``pipeline.lake.periods``), and for prompts also by day. A row carries ``events_version``, a fingerprint of
the raw files and the query that it was made from. So the log shows that a day is stale, whatever happened to
the process that should have refreshed it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl
import pyarrow as pa

from pipeline.database.locks import Lock
from pipeline.database.queries import query
from pipeline.days import chunks
from pipeline.engines import rollups
from pipeline.engines.scan import Scan
from pipeline.errors import LakeError
from pipeline.installation import Installation
from pipeline.lake import damage
from pipeline.lake.delta_table import DailyTable, fingerprint
from pipeline.lake.isolation import run_isolated
from pipeline.lake.usage_events import open_own_events
from pipeline.stats.errors import FOLDS, LONGEST_KIND, error_kind

logger = logging.getLogger(__name__)

EVENTS_PER_BATCH = 500_000
"""About how many raw events one rollup query reads, to limit the memory. A day is never split."""

ROWS_PER_GROUP = 2**14
"""Partials are sorted, and readers usually want one dimension or some prompts."""

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
        ("generation_time_ps_sum", pa.int64()),
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
"""Columns of partials."""


@dataclass(frozen=True)
class Rollup:
    """A rollup of the raw events, and the lake tables that hold it.

    ``query`` is the one in ``sql/engine`` that makes partials of raw events; ``monthly`` are the partials of
    months, ``total`` its months merged. ``also`` stands for what else the partials depend on.
    """

    query: str
    monthly: str
    total: str
    also: str = ""

    @cached_property
    def version(self) -> int:
        """The fingerprint of everything except the events that the partials depend on."""
        return fingerprint([query(f"engine/{self.query}"), self.also])


class DailyRollup(Rollup):
    """A rollup with a table of partials by day, named like its query. Its months are merged from the days."""

    @property
    def daily(self) -> str:
        """The table by day."""
        return self.query


USAGE = DailyRollup(
    query="prompt_usage_daily",
    monthly="prompt_usage_monthly",
    total="prompt_usage_total",
    also=repr((FOLDS, LONGEST_KIND)),
)
"""By prompt, and by prompt and scene, environment, outfit, error kind or time bucket, every few minutes."""

COMPLETE = ("prompt", "scene", "environment", "outfit")
"""The dimensions in which each event has a value or null, so that their counts add up to the events."""

USERS = Rollup(query="user_events", monthly="prompt_user_monthly", total="prompt_user_total")
"""By user and prompt. By day it would have nearly as many rows as events, so months are made from events."""


def open_partials(lake: str) -> DailyTable:
    """Opens the latest state of the table by day."""
    return DailyTable(lake, USAGE.daily, SCHEMA, ROWS_PER_GROUP, is_derived=True)


@dataclass(frozen=True)
class RollupReport:
    """What a rollup did: the stale days that it recomputed, the rows written, the events read.

    ``failed``: the days that could not be recomputed, and why; they stay stale. ``repaired``: those
    of which a file was damaged, and how. ``held``: what the table holds then, as ``DailyTable.days`` says.
    """

    days: list[dt.date]
    rows: int
    events: int
    failed: dict[dt.date, str] = field(default_factory=dict)
    repaired: dict[dt.date, str] = field(default_factory=dict)
    held: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False)


def made_from(rollup: Rollup) -> pl.Expr:
    """The ``events_version`` of partials made from the raw files with the fingerprint ``version``."""
    return (pl.col("version") ^ pl.lit(rollup.version, pl.Int64)).alias("events_version")


def stale_days(partials: DailyTable, events: DailyTable) -> list[dt.date]:
    """The days whose partials were not made from the lake's present raw events by the present query."""
    held = dict(partials.days().select("day", "events_version").iter_rows())
    wanted = dict(events.days().select("day", made_from(USAGE)).iter_rows())
    return sorted(day for day in wanted.keys() | held.keys() if wanted.get(day) != held.get(day))


def roll_up_days(installation: Installation, days: Collection[dt.date] | None = None) -> RollupReport:
    """Recomputes the partials of stale days: of the given ones, or without ``days`` of all.

    Days with a missing or truncated file are stale, too.

    :raises LakeConflictError: somebody wrote to the lake meanwhile; what was committed is complete.
    """
    with installation.database.locked(Lock.LAKE):
        # The target first: whoever changes a day after this either conflicts, or is read here.
        target = open_partials(installation.lake)
        events = open_own_events(installation)
        sizes = dict(events.days().select("day", "usage_count").iter_rows())
        broken = target.faults()
        stale = sorted({*stale_days(target, events), *broken})
        if days is not None:
            stale = sorted(set(stale) & set(days))
        # Their partials are the last that is left of them.
        lost = damage.note_lost_days(installation.database, events, stale)
        rows = 0

        def recompute(chunk: list[dt.date]) -> None:
            nonlocal rows
            table = recomputed(events, chunk)
            target.replace(chunk, table)
            rows += table.num_rows
            logger.info("%s: %d days up to %s recomputed", USAGE.daily, len(chunk), chunk[-1])

        ready = {day: sizes.get(day, 0) for day in stale if day not in lost}
        failed = lost | run_isolated(chunks(ready, EVENTS_PER_BATCH), recompute)
        done = [day for day in stale if day not in failed]
        repaired = {day: why for day, why in broken.items() if day in done}
        count = sum(sizes.get(day, 0) for day in done)
        return RollupReport(done, rows, count, failed, repaired, target.days())


def recomputed(events: DailyTable, days: Collection[dt.date]) -> pa.Table:
    """The partials of some days, made from their raw events, as the table by day should have them.

    They are sorted, so that a reader of one dimension or of some prompts skips other row groups.

    :raises LakeError: a file can't be read, or the partials don't add up to the raw events.
    """
    raw = events.days().filter(pl.col("day").is_in(days))
    sizes = dict(raw.select("day", "usage_count").iter_rows())
    rows = events.scan(sizes)
    ledger = raw.select("day", "synced_high", made_from(USAGE), ingest_xid="mark")
    made = rollups.table(
        USAGE.query, usage_events=rows, error_kinds=error_kinds(rows), ledger=ledger.to_arrow()
    )
    check_days(made, {day: sizes.get(day, 0) for day in days})
    # Of a table in pieces the order of the pieces is lost when it is written.
    return made.select(SCHEMA.names).cast(SCHEMA).combine_chunks()


def error_kinds(events: Scan) -> pa.Table:
    """The kind of each error message of some events: ``error_message``, ``error_kind``.

    :raises LakeError: a file can't be read.
    """
    return kinds_of(rollups.run("error_messages", usage_events=events))


def kinds_of(messages: pl.DataFrame) -> pa.Table:
    """The same for known messages."""
    return messages.with_columns(error_kind=error_kind(pl.col("error_message"))).to_arrow()


def wrong_days(partials: DailyTable, events: DailyTable, days: Collection[dt.date]) -> set[dt.date]:
    """The days whose partials differ in any value from a recount of their raw events.

    :raises LakeError: a file can't be read.
    """
    made = pl.DataFrame(recomputed(events, days))
    held = pl.DataFrame(partials.read(days).to_table(columns=made.columns))
    missing = made.join(held, on=made.columns, how="anti", nulls_equal=True)
    made_sizes, held_sizes = (set(rows.group_by("day").len().iter_rows()) for rows in (made, held))
    return {*missing["day"], *(day for day, _ in made_sizes ^ held_sizes)}


def check_days(partials: pa.Table, usage_counts: Mapping[dt.date, int]) -> None:
    """Makes sure that the partials of some days add up to their raw events, in each complete dimension.

    :raises LakeError: they do not.
    """
    counts = pl.DataFrame(partials.select(["day", "dimension", "usage_count"]))
    counted = counts.group_by("day", "dimension").agg(pl.col("usage_count").sum())
    sums = {(day, dimension): count for day, dimension, count in counted.iter_rows()}
    for day, expected in usage_counts.items():
        for dimension in COMPLETE:
            found = sums.get((day, dimension), 0)
            if found != expected:
                raise LakeError(
                    f"Computing {USAGE.daily} of {day}",
                    f"its rows by {dimension} count {found} of {expected} events",
                    "Nothing was written for this day. Run the command again, and please report it if it"
                    " happens twice",
                )
