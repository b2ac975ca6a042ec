"""What the events of some days come to, in days of any time zone, counted when somebody asks.

Days of UTC are merged from the daily partials. A day of another time zone begins and ends within one of UTC:
sums over a period take the days of UTC within it from the partials, and roll up the raw events of those at
its ends, by the query that makes the partials. Day by day, all raw events of the period are rolled up, with
the day that an event has there. Undated events are in no day of another time zone. Both are read in the state
that the last publish counted, so an answer agrees with the published stats.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.days import ONE_DAY, UTC, DayRange
from pipeline.engines import duckdb_engine
from pipeline.engines.scan import Condition, Input, Scan
from pipeline.errors import LakeError
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import SCHEMA, USAGE, kinds_of, made_from, open_partials
from pipeline.lake.periods import State
from pipeline.lake.usage_events import open_usage_events
from pipeline.limits import LAKE_MAX_DAYS
from pipeline.stats import frames
from pipeline.stats.percentiles import PERCENTILES, bucket_ends

logger = logging.getLogger(__name__)

LOOK_BACK = 30
"""Commits after which the state that was published is not looked for."""

Versions = Mapping[dt.date, int]


class Period(NamedTuple):
    """Days, both ends included, of a time zone, which is a name of the IANA database."""

    days: DayRange
    timezone: str = UTC

    @property
    def touched(self) -> DayRange:
        """The days of UTC that its events are in: a day begins up to 14 hours earlier there, or 12 later."""
        if self.timezone == UTC:
            return self.days
        return DayRange(self.days.first - ONE_DAY, self.days.last + ONE_DAY)

    def whole(self, days: Iterable[dt.date]) -> list[dt.date]:
        """Those of some days of UTC that lie in it from their beginning to their end."""
        asked = {
            "days": list(days),
            "timezone": self.timezone,
            "first": self.days.first,
            "last": self.days.last,
        }
        return duckdb_engine.run("whole_days", asked)["day"].to_list()


class PeriodStats:
    """Stats of a period, of which each is read when it is asked for.

    ``is_as_published``: whether they are of the state that the last publish counted. If that state can't be
    found any more (it is too long ago, or a reconciliation disowned it), they are of the lake as it is now,
    and may hold later events.

    All raise :class:`~pipeline.errors.LakeError` if the lake can't be read, or lacks days that are published.
    """

    def __init__(self, lake: str, period: Period, published: Versions) -> None:
        """``published``: what ``sql/answers/published_days.sql`` has of ``period.touched``."""
        self._lake = lake
        self.period = period
        self._published = published
        self.is_as_published = True
        self._of_all: dict[str, pl.DataFrame] = {}
        self._kept_ids: frozenset[str] = frozenset()
        self._kept = SCHEMA.empty_table()

    def keep(self, prompt_ids: Collection[str]) -> None:
        """Reads the partials of some prompts once, for somebody who asks for all that there is of each.

        Nothing is counted from raw events then. For days of UTC.
        """
        ids = frozenset(prompt_ids)
        days = _held(self._daily, self.period.days)
        self._kept = self._daily.rows(days, pc.field("prompt_id").isin(sorted(ids)), SCHEMA.names)
        self._kept_ids = ids

    def prompts(self, prompt_id: str | None = None) -> pl.DataFrame:
        """One row per prompt that was used, or only that of one, as :func:`frames.period_stats` has it."""
        return frames.period_stats(self._totals(prompt_id, "prompt", "time"))

    def usage(self, prompt_id: str | None = None) -> pl.DataFrame:
        """The same without percentiles, which take longest."""
        return frames.period_stats(self._totals(prompt_id, "prompt"))

    def values(self, prompt_id: str, dimension: str) -> pl.DataFrame:
        """One row per value of a prompt, most used first, as :func:`frames.value_stats` has it.

        With percentiles and ``unique_users``, which are null if there are too many days.
        """
        rows = frames.value_stats(self._totals(prompt_id, dimension), dimension)
        names = [*PERCENTILES, "unique_users"]
        if self.is_countable:
            counts = duckdb_engine.run(
                "prompt_value_counts", {"today": self.period.days.last}, usage_events=self.events(prompt_id)
            ).filter(pl.col("dimension") == dimension)
            counted = frames.prompt_value_stats(counts).select(pl.col("value").alias(dimension), *names)
            rows = rows.join(counted, on=dimension, how="left", nulls_equal=True)
        else:
            rows = rows.with_columns(pl.lit(None).alias(name) for name in names)
        return _most_used_first(rows, dimension)

    def overall(self, dimension: str) -> pl.DataFrame:
        """One row per value of all prompts, most used first, as :func:`frames.overall_stats` has it."""
        return _most_used_first(frames.overall_stats(self._totals(None, dimension), dimension), dimension)

    def by_prompt(self, dimension: str) -> pl.DataFrame:
        """One row per prompt and value, as :func:`frames.value_stats` has it."""
        return frames.value_stats(self._totals(None, dimension), dimension)

    def daily(self) -> pl.DataFrame:
        """One row per day and prompt: ``prompt_daily_stats``."""
        return frames.prompt_daily_stats(
            duckdb_engine.run("prompt_days", partials=self._partials(None, "prompt"))
        )

    def scene(self, scene: str | None) -> pl.DataFrame:
        """One row per prompt that was used in a scene, as :func:`frames.value_stats` has it."""
        return self.by_prompt("scene").filter(pl.col("scene").eq_missing(pl.lit(scene)))

    def errors(self, prompt_id: str | None = None) -> pl.DataFrame:
        """One row per kind of error of a prompt or each, most frequent first: ``prompt_error_stats``."""
        rows = frames.prompt_error_stats(self._totals(prompt_id, "error"))
        return rows.sort("error_count", "error_kind", descending=[True, False])

    def value_errors(self, prompt_id: str, dimension: str) -> pl.DataFrame:
        """One row per value and kind of error of a prompt: ``prompt_value_error_stats``. From raw events."""
        events = self.events(prompt_id)
        rows = duckdb_engine.run("prompt_value_errors", usage_events=events, error_kinds=_error_kinds(events))
        return (
            rows.filter(pl.col("dimension") == dimension)
            .drop("prompt_id", "dimension")
            .sort("error_count", "value", "error_kind", descending=[True, False, False], nulls_last=True)
        )

    def failures(
        self, prompt_id: str, limit: int, error_kind: str | None = None, scene: str | None = None
    ) -> pl.DataFrame:
        """The latest failed events of a prompt, of one kind or scene or of all: one row per event. From raw
        events.
        """
        events = self.events(prompt_id).where(("success", "=", False))
        if scene is not None:
            events = events.where(("scene", "=", scene))
        wanted = {"error_kind": error_kind, "limit": limit}
        kinds = _error_kinds(events)
        return duckdb_engine.run("latest_failures", wanted, usage_events=events, error_kinds=kinds)

    def times(self, prompt_id: str) -> pl.DataFrame:
        """As :func:`generation_times`, of the period."""
        return _histogram(self._totals(prompt_id, "time"))

    def series(self, prompt_id: str, dimension: str, bucket: str, limit: int) -> pl.DataFrame:
        """One row per value and ``period`` (its first day) with use, in order of time: ``value``,
        ``usage_count``, ``success_count``, ``failure_count``, ``success_rate`` in percent.

        ``bucket`` is ``day``, ``week`` or ``month``. ``limit``: of how many values, at most; the most
        used are chosen.
        """
        partials = self._partials(prompt_id, dimension)
        return duckdb_engine.run("value_series", {"bucket": bucket, "limit": limit}, partials=partials)

    def days(self, prompt_ids: Collection[str]) -> pl.DataFrame:
        """``prompt_id``, ``day`` and ``usage_count`` of some prompts, where there was use."""
        keys = pa.table({"prompt_id": pa.array(sorted(prompt_ids), pa.string())})
        partials = self._partials(None, "prompt", keys=keys)
        rows = duckdb_engine.run("prompt_days", partials=partials)
        return rows.select("prompt_id", "day", "usage_count")

    def unique_users(self, prompt_id: str) -> int | None:
        """How many users a prompt had; None if there are too many days."""
        if not self.is_countable:
            return None
        rows = duckdb_engine.run("period_users", usage_events=self.events(prompt_id))
        return int(rows["unique_users"].sum())

    @property
    def is_countable(self) -> bool:
        """Whether there are few enough days to count from the raw events, and somebody asks for little."""
        return not self._kept_ids and (self.period.days.last - self.period.days.first).days < LAKE_MAX_DAYS

    def _totals(self, prompt_id: str | None, *dimensions: str) -> pl.DataFrame:
        parts = [self._merged(prompt_id, dimension) for dimension in dimensions]
        return pl.concat(parts)

    def _merged(self, prompt_id: str | None, dimension: str) -> pl.DataFrame:
        if prompt_id is None and dimension in self._of_all:
            return self._of_all[dimension]
        rows = duckdb_engine.run("merged_partials", partials=self._summands(prompt_id, dimension))
        if prompt_id is None:
            self._of_all[dimension] = rows
        return rows

    def _summands(self, prompt_id: str | None, dimension: str) -> Input:
        """Partials that add up to the period: of another time zone, raw events are read of its ends alone."""
        if self.period.timezone == UTC or prompt_id in self._kept_ids:
            return self._partials(prompt_id, dimension)
        whole, cut = self._whole_and_cut
        scan = self._daily.scan(whole).where(*_of(prompt_id, dimension))
        merged = duckdb_engine.table("merged_partials", partials=scan)
        ends = self._rolled_up(prompt_id, cut)
        ends = ends.filter(pc.field("dimension") == dimension).select(merged.column_names)
        return pa.concat_tables([merged, ends.cast(merged.schema)])

    @cached_property
    def _whole_and_cut(self) -> tuple[list[dt.date], tuple[dt.date, ...]]:
        """The days of UTC that lie wholly in a period of another time zone, and those that it cuts."""
        touched = _held(self._daily, self.period.touched)
        # Undated events are in the lake's first day, and in no day of another time zone.
        first = self._daily.days()["day"].min()
        whole = [day for day in self.period.whole(touched) if day != first]
        return whole, tuple(day for day in touched if day not in whole)

    def _partials(self, prompt_id: str | None, dimension: str, keys: pa.Table | None = None) -> Input:
        conditions = _of(prompt_id, dimension)
        if prompt_id in self._kept_ids:
            of_prompt = (pc.field("prompt_id") == prompt_id) & (pc.field("dimension") == dimension)
            return self._kept.filter(of_prompt)
        if self.period.timezone == UTC:
            scan = self._daily.scan(_held(self._daily, self.period.days)).where(*conditions)
            return scan.only(keys) if keys else scan
        rows = pl.DataFrame(self._rolled_up(prompt_id)).filter(pl.col("dimension") == dimension)
        if keys:
            rows = rows.join(pl.DataFrame(keys), on="prompt_id", how="semi")
        return rows.to_arrow().cast(SCHEMA)

    def _rolled_up(self, prompt_id: str | None, days_read: tuple[dt.date, ...] | None = None) -> pa.Table:
        if (prompt_id, days_read) not in self._local:
            events = self.events(prompt_id, days_read)
            days = pa.array(self.period.days.days(), pa.date32())
            same = {name: pa.array([0] * len(days), pa.int64()) for name in _OF_LEDGER}
            self._local[prompt_id, days_read] = duckdb_engine.table(
                USAGE.query,
                usage_events=events,
                error_kinds=_error_kinds(events),
                ledger=pa.table({"day": days, **same}),
            ).select(SCHEMA.names)
        return self._local[prompt_id, days_read]

    @cached_property
    def _local(self) -> dict[tuple[str | None, tuple[dt.date, ...] | None], pa.Table]:
        return {}

    def events(self, prompt_id: str | None, days_read: Collection[dt.date] | None = None) -> Scan:
        """The raw events of the period, of one prompt or all; ``day`` is that of its time zone.

        ``days_read``: those within some days of UTC.
        """
        scan = self._raw.scan(_held(self._raw, self.period.touched) if days_read is None else days_read)
        if self.period.timezone != UTC:
            first, last = self.period.days
            scan = scan.in_days_of(self.period.timezone).where(("day", ">=", first), ("day", "<=", last))
        return scan.where(("prompt_id", "=", prompt_id)) if prompt_id is not None else scan

    @cached_property
    def _daily(self) -> DailyTable:
        return self._as_published(open_partials(self._lake), pl.col("events_version"))

    @cached_property
    def _raw(self) -> DailyTable:
        return self._as_published(open_usage_events(self._lake), made_from(USAGE))

    def _as_published(self, table: DailyTable, version: pl.Expr) -> DailyTable:
        state = published_state(table, self.period.touched, self._published, version)
        if state is None:
            self.is_as_published = False
            _require_days(table, table.days()["day"], self._published)
            logger.info("%s of the last publish can't be found: it is read as it is", table.name)
        return state or table


def published_state(
    table: DailyTable, days: DayRange, published: Versions, version: pl.Expr
) -> DailyTable | None:
    """The latest state of a table in which some days are what was published; None if it is gone.

    ``version``: of the columns of ``DailyTable.days``, what ``published`` has. A refresh writes the lake
    seconds before it publishes, and commits a few times.
    """
    within = pl.col("day").is_between(*days)

    def is_published(state: DailyTable) -> bool:
        found = state.days().filter(within).select("day", version.alias("events_version"))
        return dict(found.iter_rows()) == published

    if is_published(table):
        return table
    for state in table.earlier(LOOK_BACK):
        if is_published(state):
            return None if state.faults().keys() & published.keys() else state
    return None


def generation_times(lake: str, prompt_id: str, published: Iterable[dt.date]) -> pl.DataFrame:
    """How many events of all days took how long: one row per bucket of the histogram that has any.

    The shortest first: ``from_ms``, ``to_ms`` (included) and ``usage_count``. ``published``: days that are.

    :raises LakeError: the lake can't be read, or lacks days that are published.
    """
    state = State(lake, USAGE)
    _require_days(state.daily, state.days, published)
    partials = state.scan().where(*_of(prompt_id, "time"))
    return _histogram(duckdb_engine.run("merged_partials", partials=partials))


def _require_days(table: DailyTable, held: Iterable[dt.date], published: Iterable[dt.date]) -> None:
    """Lets nothing be counted from the empty lake of a wrong address: opening it makes one."""
    absent = sorted(set(published) - set(held))
    if absent:
        raise LakeError(
            f"Counting from {table.uri}",
            f"it lacks {len(absent)} days that are published, such as {absent[0]}",
            "Have PROMPT_STATS_LAKE_URI name the lake that refreshes write",
        )


_OF_LEDGER = ("ingest_xid", "synced_high", "events_version")


def _histogram(totals: pl.DataFrame) -> pl.DataFrame:
    buckets = totals.select(pl.col("value").cast(pl.Int32).alias("time_bucket"), "usage_count")
    return buckets.sort("time_bucket").select(*bucket_ends(), "usage_count")


def _error_kinds(events: Scan) -> pa.Table:
    return kinds_of(duckdb_engine.run("error_messages", usage_events=events))


def _held(table: DailyTable, days: DayRange) -> list[dt.date]:
    return [day for day in table.days()["day"] if days.first <= day <= days.last]


def _of(prompt_id: str | None, dimension: str) -> tuple[Condition, ...]:
    of_dimension = ("dimension", "=", dimension)
    return (of_dimension,) if prompt_id is None else (("prompt_id", "=", prompt_id), of_dimension)


def _most_used_first(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """As the published tables are read: the value that is none comes last among equals."""
    return rows.sort("usage_count", name, descending=[True, False], nulls_last=True)
