"""Counts by logarithmic bucket: percentiles from them, and where a bucket begins and ends.

The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile
sketch with relative-error guarantees", VLDB 2019), as ``sql/engine/prompt_usage_daily.sql`` makes them:
bucket *i* holds the times in (g^(i-1), g^i], g = GAMMA = 1.02 / 0.98; its representative 2 g^i / (g + 1)
is within 2 % of each. Counts add up, so the order of merging does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

RELATIVE_ERROR = 0.02
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
BELOW_ONE_BUCKET = -1
"""The bucket of times that have no logarithm: 0 ms, and what a broken clock may give."""

PERCENTILES = {f"p{percent}_generation_time_ms": percent for percent in (50, 90, 95, 99)}


def percentiles(buckets: pl.DataFrame, group: Sequence[str] = ("prompt_id",)) -> pl.DataFrame:
    """One row per group with the columns of :data:`PERCENTILES`, in milliseconds.

    ``buckets`` has the columns of ``group``, ``time_bucket`` (int) and ``usage_count``. What is estimated
    is the smallest time that so many per cent do not exceed, as ``percentile_disc`` of SQL has it.
    """
    ranked = (
        buckets.sort(*group, "time_bucket")
        .with_columns(
            cumulated=pl.col("usage_count").cum_sum().over(group),
            total=pl.col("usage_count").sum().over(group),
        )
        .with_columns(representative_ms=representative_ms(pl.col("time_bucket")))
    )
    return ranked.group_by(group, maintain_order=True).agg(
        pl.col("representative_ms")
        .filter(pl.col("cumulated") * 100 >= pl.col("total") * percent)
        .first()
        .alias(name)
        for name, percent in PERCENTILES.items()
    )


def representative_ms(bucket: pl.Expr) -> pl.Expr:
    """The time that stands for those of a bucket."""
    power = pl.lit(GAMMA).pow(bucket)
    return pl.when(bucket == BELOW_ONE_BUCKET).then(0.0).otherwise(2 * power / (GAMMA + 1))


def bucket_ends() -> tuple[pl.Expr, pl.Expr]:
    """``from_ms`` and ``to_ms`` of the column ``time_bucket``: its times are above the one, up to the other.

    Times below 1 ms are all one bucket, which begins at 0 and ends where that of 1 ms begins.
    """
    bucket = pl.col("time_bucket")
    start = pl.when(bucket == BELOW_ONE_BUCKET).then(0.0).otherwise(pl.lit(GAMMA).pow(bucket - 1))
    return start.alias("from_ms"), pl.lit(GAMMA).pow(bucket).alias("to_ms")
