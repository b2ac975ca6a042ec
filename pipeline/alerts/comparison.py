"""Puts the last hours of each series beside its past, for the rules. Frames in, frames out, no clock.

A series is all events (scope ``overall``), those of a scene or those of a prompt. Its past is the same for
all windows: the 14 days that end a day before now, so that a fault of today is not compared with itself.
"""

from __future__ import annotations

import polars as pl

from pipeline.stats.percentiles import GAMMA

SERIES = ("scope", "prompt_id", "scene")
WINDOWS_HOURS = (1, 6, 24)
DAY_HOURS = 24
PAST_DAYS = 14
HOURS = DAY_HOURS * (1 + PAST_DAYS)
"""How many hours back the counts go: the last day, and the past."""

SLOWER_BUCKETS = 5
"""A median that rose by this many buckets of 4 % is slower by more than a fifth."""

MARGIN_BUCKETS = 2
"""A median may rise by this much, 8 %, before a test decides whether that is chance."""

TRIMMED_DAYS = 3
"""This many of the best and of the worst days of the past are left out."""

IS_PAST = pl.col("hours_ago") >= DAY_HOURS
DAY = (pl.col("hours_ago") // DAY_HOURS).alias("day")


def success_rates(uses: pl.DataFrame) -> pl.DataFrame:
    """One row per series and window with use in both: successes in the window and in the past.

    ``uses``: the rows of ``sql/engine/alert_uses.sql``. Counts are ``recent_count``, ``recent_hits`` of
    them, ``past_count``, ``past_hits``; ``recent_value`` and ``past_value`` are success rates in percent.
    """
    sums = (pl.col("usage_count").sum().alias("count"), pl.col("success_count").sum().alias("hits"))
    daily = uses.filter(IS_PAST).group_by(*SERIES, DAY).agg(sums)
    past = (
        middle_days(daily, pl.col("hits") / pl.col("count"))
        .group_by(SERIES)
        .agg(past_count=pl.col("count").sum(), past_hits=pl.col("hits").sum())
    )
    recent = _windows(uses, *sums)
    return recent.join(past, on=SERIES, nulls_equal=True).select(
        *SERIES,
        "window_hours",
        "past_count",
        "past_hits",
        recent_count="count",
        recent_hits="hits",
        recent_value=pl.col("hits") / pl.col("count") * 100,
        past_value=pl.col("past_hits") / pl.col("past_count") * 100,
    )


def generation_times(times: pl.DataFrame) -> pl.DataFrame:
    """One row per series and window with timed events in both: how many were slow.

    ``times``: the rows of ``sql/engine/alert_times.sql``. ``past_hits`` of ``past_count`` events were slower
    than the past's median; ``recent_hits`` of ``recent_count`` were slower than that by more than
    :data:`MARGIN_BUCKETS`, so that an equal share means a median that rose by as much. ``recent_value`` and
    ``past_value`` are the medians in milliseconds, ``slower_buckets`` is how far they are apart.
    """
    by_day = times.filter(IS_PAST).with_columns(DAY)
    days = middle_days(
        by_day.group_by(*SERIES, "day").agg(_median_bucket().alias("bucket")), pl.col("bucket")
    )
    past = by_day.join(days, on=[*SERIES, "day"], how="semi", nulls_equal=True)
    bounds = past.group_by(SERIES).agg(_median_bucket().alias("past_bucket"))
    slower = pl.col("time_bucket") > pl.col("past_bucket")
    before = (
        past.join(bounds, on=SERIES, nulls_equal=True)
        .group_by(SERIES)
        .agg(
            pl.col("past_bucket").first(),
            past_count=pl.col("usage_count").sum(),
            past_hits=pl.col("usage_count").filter(slower).sum(),
        )
    )
    much_slower = pl.col("time_bucket") > pl.col("past_bucket") + MARGIN_BUCKETS
    recent = times.filter(~IS_PAST).join(before, on=SERIES, nulls_equal=True)
    windows = _windows(
        recent,
        _median_bucket().alias("recent_bucket"),
        pl.col("usage_count").sum().alias("recent_count"),
        pl.col("usage_count").filter(much_slower).sum().alias("recent_hits"),
        pl.col("past_bucket", "past_count", "past_hits").first(),
    )
    return windows.select(
        *SERIES,
        "window_hours",
        "recent_count",
        "recent_hits",
        "past_count",
        "past_hits",
        recent_value=_upper_end("recent_bucket"),
        past_value=_upper_end("past_bucket"),
        slower_buckets=pl.col("recent_bucket") - pl.col("past_bucket"),
    )


def usage(uses: pl.DataFrame) -> pl.DataFrame:
    """One row per series and window: uses in the window, and in the same hours of each day of the past.

    ``uses``: the rows of ``sql/engine/alert_uses.sql``. ``recent_count`` is also ``recent_value``,
    ``past_count`` is the sum over the days and ``past_value`` their mean; ``usually_at_least`` is the second
    smallest of them. ``dispersion`` is their variance over their mean: 1 for Poisson, more for what comes in
    bursts or differs from day to day.
    """
    by_window = []
    for hours in WINDOWS_HOURS:
        same_hours = [
            pl.col("usage_count")
            .filter(pl.col("hours_ago").is_between(first := day * DAY_HOURS, first + hours - 1))
            .sum()
            for day in range(1, PAST_DAYS + 1)
        ]
        by_window.append(
            uses.group_by(SERIES)
            .agg(
                recent_count=pl.col("usage_count").filter(pl.col("hours_ago") < hours).sum(),
                days=pl.concat_list(same_hours),
            )
            .with_columns(window_hours=pl.lit(hours, pl.Int32))
        )
    days = pl.col("days")
    return pl.concat(by_window).select(
        *SERIES,
        "window_hours",
        pl.col("recent_count").cast(pl.Int64),
        past_count=days.list.sum().cast(pl.Int64),
        usually_at_least=days.list.sort().list.get(1).cast(pl.Int64),
        recent_value=pl.col("recent_count").cast(pl.Float64),
        past_value=days.list.mean(),
        dispersion=days.list.var() / days.list.mean(),
    )


def middle_days(daily: pl.DataFrame, figure: pl.Expr) -> pl.DataFrame:
    """Drops the best and the worst days of each series, given one row per series and day.

    Three of 14 days are dropped at each end, so that one or two bad days do not become normal.
    """
    rank, days = figure.rank("ordinal").over(SERIES), pl.len().over(SERIES)
    trimmed = days * TRIMMED_DAYS // PAST_DAYS
    # In order, so that of equal days the same ones go each time.
    return daily.sort(*SERIES, "day").filter((rank > trimmed) & (rank <= days - trimmed))


def _windows(rows: pl.DataFrame, *aggregates: pl.Expr) -> pl.DataFrame:
    """One row per series and window that has any rows."""
    return pl.concat(
        rows.filter(pl.col("hours_ago") < hours)
        .group_by(SERIES)
        .agg(*aggregates)
        .with_columns(window_hours=pl.lit(hours, pl.Int32))
        for hours in WINDOWS_HOURS
    )


def _median_bucket() -> pl.Expr:
    """The bucket of the event at rank floor(0.5 (n - 1)), as ``pipeline.stats.percentiles`` has it."""
    uses = pl.col("usage_count").sort_by("time_bucket")
    rank = (0.5 * (uses.sum() - 1)).floor()
    return pl.col("time_bucket").sort().filter(uses.cum_sum() > rank).first()


def _upper_end(bucket: str) -> pl.Expr:
    """The longest time of a bucket, in milliseconds."""
    return pl.lit(GAMMA).pow(pl.col(bucket))
