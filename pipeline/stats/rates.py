"""Success rates, means, and a rate's confidence interval, as polars expressions."""

from __future__ import annotations

import polars as pl

from pipeline.stats.comparison import Z_95


def success_rate() -> pl.Expr:
    """Percent of events that succeeded; null where there are none.

    The same operations in the same order as the app's own query, so the same double comes out.
    """
    count = pl.col("usage_count")
    return pl.when(count > 0).then(pl.col("success_count") / count * 100).alias("success_rate")


TIME_SUMS = ("generation_time_ms_sum", "generation_time_ps_sum")
"""Whole milliseconds, and what is beyond them in billionths of one: as integers, so that sums are exact."""


def avg_generation_time_ms() -> pl.Expr:
    """Mean time in milliseconds over the events that have one; null where none has."""
    timed = pl.col("timed_count")
    whole, rest = (pl.col(name) for name in TIME_SUMS)
    return pl.when(timed > 0).then((whole + rest / 1e9) / timed).alias("avg_generation_time_ms")


def success_rate_interval() -> tuple[pl.Expr, pl.Expr]:
    """Percent: the ends of the 95 % Wilson score interval; null where there are no events.

    ``success_rate_lower`` and ``success_rate_upper``. Unlike the rate itself, the lower end is small for
    small samples: 3 of 3 give 43.9, 950 of 1,000 give 93.5.
    Wilson, E. B. (1927), "Probable inference, the law of succession, and statistical inference".
    """
    # As integers, the square of a large count would overflow.
    n = pl.col("usage_count").cast(pl.Float64)
    p = pl.col("success_count") / n
    z2 = Z_95**2
    center = p + z2 / (2 * n)
    margin = Z_95 * (p * (1 - p) / n + z2 / (4 * n * n)).sqrt()
    lower, upper = (
        pl.when(n > 0).then((end / (1 + z2 / n) * 100).clip(0.0, 100.0))
        for end in (center - margin, center + margin)
    )
    return lower.alias("success_rate_lower"), upper.alias("success_rate_upper")
