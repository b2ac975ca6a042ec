"""One function a stats table: totals of partials in, the table's rows out, columns as in ``tables.py``.

``totals`` is the result of ``sql/engine/merged_partials.sql``, ``daily`` are rows of
``prompt_usage_daily``. Ids are text. Events without a prompt count in ``scene_stats``,
``environment_stats`` and ``outfit_stats`` only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import polars as pl

from pipeline.stats.percentiles import PERCENTILES, percentiles, representative_ms
from pipeline.stats.rates import TIME_SUMS, avg_generation_time_ms, success_rate, success_rate_interval

MEASURES = (
    pl.col("usage_count"),
    pl.col("success_count"),
    pl.col("failure_count"),
    success_rate(),
    avg_generation_time_ms(),
    pl.col("last_used_at"),
)
DETAILS = (
    pl.col("first_used_at"),
    *success_rate_interval(),
    pl.col("timed_count"),
    pl.col("generation_time_ms_min").alias("min_generation_time_ms"),
    pl.col("generation_time_ms_max").alias("max_generation_time_ms"),
)
EXTREMES = pl.col("generation_time_ms_min"), pl.col("generation_time_ms_max")
WINDOWS = (1, 7, 30)
"""Lengths in whole days of the periods that end with yesterday, and of those before them."""


def prompt_stats(
    totals: pl.DataFrame, days: pl.DataFrame, prompts: pl.DataFrame, today: dt.date
) -> pl.DataFrame:
    """One row per prompt that exists, was used, or is a favourite; all but the unique users.

    ``days``: ``day``, ``prompt_id``, ``usage_count``. ``prompts``: ``prompt_id``, ``favorite_count``.
    The windows of 1, 7 and 30 whole days end before ``today``; as long ones before them are the previous.
    """
    own = _dimension(totals, "prompt")
    periods = windows()
    recent = days.group_by("prompt_id").agg(
        pl.col("usage_count")
        .filter(pl.col("day").is_between(today - dt.timedelta(first), today - dt.timedelta(last)))
        .sum()
        .alias(name)
        for name, (first, last) in periods.items()
    )
    times = _percentiles(totals)
    prompt_ids = pl.concat([prompts["prompt_id"], own["prompt_id"]]).unique().to_frame()
    counts = ["usage_count", "success_count", "failure_count", "timed_count"]
    counts += [*TIME_SUMS, "favorite_count", *periods]
    joined = prompt_ids
    for part in (own, recent, times, prompts):
        joined = joined.join(part, on="prompt_id", how="left")
    return _as_values(joined.with_columns(pl.col(counts).fill_null(0))).select(
        "prompt_id", *MEASURES, *DETAILS, *_clipped(), *periods, "favorite_count"
    )


def period_stats(totals: pl.DataFrame) -> pl.DataFrame:
    """One row per prompt that was used: what ``prompt_stats`` has of it that follows from its events.

    ``totals`` are those of a period, of the dimensions ``prompt`` and ``time``.
    """
    joined = _dimension(totals, "prompt").join(_percentiles(totals), on="prompt_id", how="left")
    return _as_values(joined).select("prompt_id", *MEASURES, *DETAILS, *_clipped())


def value_stats(totals: pl.DataFrame, dimension: str) -> pl.DataFrame:
    """One row per prompt and value of ``dimension`` (scene, environment, outfit), null being a value."""
    return _dimension(totals, dimension).select(
        "prompt_id", pl.col("value").alias(dimension), *MEASURES, *DETAILS
    )


def prompt_value_stats(counts: pl.DataFrame) -> pl.DataFrame:
    """One row per prompt, dimension (scene, environment, outfit) and value, null being a value.

    ``counts`` are the rows of ``prompt_value_counts.sql``.
    """
    lowest, highest = EXTREMES
    return counts.select(
        "prompt_id",
        "dimension",
        "value",
        "usage_count",
        "timed_count",
        *(
            representative_ms(pl.col("time_buckets").list.get(number)).clip(lowest, highest).alias(name)
            for number, name in enumerate(PERCENTILES)
        ),
        "unique_users",
        *windows(),
    )


def overall_stats(totals: pl.DataFrame, dimension: str) -> pl.DataFrame:
    """One row per value of ``dimension`` (scene, environment, outfit), over all prompts."""
    counts = ("usage_count", "success_count", "failure_count", "timed_count", *TIME_SUMS)
    summed = (
        totals.filter(pl.col("dimension") == dimension)
        .group_by(pl.col("value").alias(dimension))
        .agg(
            pl.col(counts).sum(),
            pl.col("first_used_at", "generation_time_ms_min").min(),
            pl.col("last_used_at", "generation_time_ms_max").max(),
        )
    )
    return _as_values(summed).select(dimension, *MEASURES, *DETAILS)


def prompt_daily_stats(daily: pl.DataFrame) -> pl.DataFrame:
    """One row per day and prompt."""
    return _dimension(daily, "prompt").select("day", "prompt_id", *MEASURES)


def user_prompt_stats(totals: pl.DataFrame) -> pl.DataFrame:
    """One row per user and prompt that the user used; all but whether it is a favourite."""
    used = _dimension(totals, "user").filter(pl.col("value").is_not_null())
    return used.select(pl.col("value").alias("user_id"), "prompt_id", *MEASURES)


def prompt_error_stats(totals: pl.DataFrame) -> pl.DataFrame:
    """One row per prompt and kind of error."""
    return _dimension(totals, "error").select(
        "prompt_id", error_kind="value", error_count="usage_count", last_seen_at="last_used_at"
    )


def windows() -> dict[str, tuple[int, int]]:
    """The columns of the periods: how many days ago each begins, and ends."""
    latest = {f"usage_count_{length}d": (length, 1) for length in WINDOWS}
    return latest | {f"usage_count_previous_{length}d": (2 * length, length + 1) for length in WINDOWS}


def _percentiles(totals: pl.DataFrame) -> pl.DataFrame:
    buckets = _dimension(totals, "time")
    return percentiles(buckets.select("prompt_id", "usage_count", time_bucket=pl.col("value").cast(pl.Int32)))


def _clipped() -> Iterator[pl.Expr]:
    """What a bucket stands for may be beyond the times that it holds."""
    return (pl.col(name).clip(*EXTREMES) for name in PERCENTILES)


def _dimension(partials: pl.DataFrame, dimension: str) -> pl.DataFrame:
    rows = partials.filter(pl.col("dimension") == dimension, pl.col("prompt_id").is_not_null())
    return _as_values(rows)


def _as_values(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with each value of its own.

    polars keeps a column as one value where rows that came one by one agree in it, and divides by that by way
    of its reciprocal: 5 / 6 * 100 is then another double than the database's, and another at each refresh, as
    an engine happens to cut its result.
    """
    return pl.DataFrame(rows.get_columns())
