"""Usage over time, of one prompt or all, counted from the raw events in the lake when somebody asks.

They are read in the state that the last publish counted, as ``pipeline.lake.period_stats`` has it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import polars as pl

from pipeline.days import DayRange
from pipeline.engines import duckdb_engine
from pipeline.lake.period_stats import Period, PeriodStats
from pipeline.stats.rates import success_rate

COMPARED = tuple(
    f"{side}_{kind}_count" for side in ("compared", "previous") for kind in ("usage", "success", "failure")
)
OF_THE_WHOLE = (*COMPARED, "prompt_count")
"""Columns that are the same in every row."""


class Compared(NamedTuple):
    """The whole days of a period, until ``compared_end``, and as many from ``before`` until ``previous_end``.

    No end is included.
    """

    before: dt.date
    previous_end: dt.date
    compared_end: dt.date


def period_read(days: DayRange, compared: Compared | None, timezone: str) -> Period:
    """The period whose events are read for a series of some days and what they are compared with."""
    return Period(DayRange(compared.before if compared else days.first, days.last), timezone)


def prompt_series(stats: PeriodStats, prompt_id: str, bucket: str, days: DayRange) -> pl.DataFrame:
    """One row per period, in order: ``period`` (local time of its start), ``usage_count``, ``success_count``,
    ``failure_count``, ``success_rate`` in percent, null where there was no use.

    ``stats`` is of :func:`period_read`. ``bucket`` is ``hour`` (then the time zone has to be UTC), ``day``,
    ``week`` or ``month``.

    :raises LakeError: the lake can't be read.
    """
    nothing = Compared(days.first, days.first, days.first)
    return _series(stats, prompt_id, bucket, days, nothing).drop(OF_THE_WHOLE)


def overview(
    stats: PeriodStats, bucket: str, days: DayRange, compared: Compared
) -> tuple[dict[str, Any], pl.DataFrame]:
    """What all prompts add up to, and the same as :func:`prompt_series` of all of them.

    The first has ``usage_count``, ``success_count``, ``failure_count`` and ``success_rate`` over the days,
    ``prompt_count`` of those used, and the counts of what is compared: ``compared_…`` and ``previous_…``.

    :raises LakeError: the lake can't be read.
    """
    periods = _series(stats, None, bucket, days, compared)
    sums = periods.select(pl.col("usage_count", "success_count", "failure_count").sum())
    whole = periods.select(OF_THE_WHOLE).head(1)
    totals = sums.with_columns(success_rate(), *whole.get_columns())
    return totals.row(0, named=True), periods.drop(OF_THE_WHOLE)


def _series(
    stats: PeriodStats, prompt_id: str | None, bucket: str, days: DayRange, compared: Compared
) -> pl.DataFrame:
    return duckdb_engine.run(
        "usage_series",
        {
            "bucket": bucket,
            "timezone": stats.period.timezone,
            **compared._asdict(),
            "first": days.first,
            "last": days.last,
            "prompt_id": prompt_id,
        },
        usage_events=stats.events(prompt_id),
    )
