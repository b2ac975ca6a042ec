"""Usage over time, of one prompt or all, counted from the raw events in the lake when somebody asks."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import polars as pl

from pipeline.days import ONE_DAY, DayRange
from pipeline.engines import duckdb_engine
from pipeline.lake.usage_events import open_usage_events
from pipeline.stats.rates import success_rate

OF_THE_WHOLE = ("compared_usage_count", "previous_usage_count", "prompt_count")
"""Columns that are the same in every row."""


class Compared(NamedTuple):
    """The whole days of a period, until ``compared_end``, and as many from ``before`` until ``previous_end``.

    No end is included.
    """

    before: dt.date
    previous_end: dt.date
    compared_end: dt.date


def prompt_series(lake: str, prompt_id: str, bucket: str, timezone: str, days: DayRange) -> pl.DataFrame:
    """One row a period, in order: ``period`` (local time of its start), ``usage_count``, ``success_count``,
    ``failure_count``, ``success_rate`` in percent, null where there was no use.

    ``bucket`` is ``hour`` (then the time zone has to be UTC), ``day``, ``week`` or ``month``. ``timezone``
    is a name of the IANA database; the days are its days.

    :raises LakeError: the lake can't be read.
    """
    nothing = Compared(days.first, days.first, days.first)
    return _series(lake, prompt_id, bucket, timezone, days, nothing).drop(OF_THE_WHOLE)


def overview(
    lake: str, bucket: str, timezone: str, days: DayRange, compared: Compared
) -> tuple[dict[str, Any], pl.DataFrame]:
    """What all prompts add up to, and the same as :func:`prompt_series` of all of them.

    The first has ``usage_count``, ``success_count``, ``failure_count`` and ``success_rate`` over the days,
    ``prompt_count`` of those used, and of what is compared ``compared_usage_count`` and
    ``previous_usage_count``.

    :raises LakeError: the lake can't be read.
    """
    periods = _series(lake, None, bucket, timezone, days, compared)
    sums = periods.select(pl.col("usage_count", "success_count", "failure_count").sum())
    whole = periods.select(OF_THE_WHOLE).head(1)
    totals = sums.with_columns(success_rate(), *whole.get_columns())
    return totals.row(0, named=True), periods.drop(OF_THE_WHOLE)


def _series(
    lake: str, prompt_id: str | None, bucket: str, timezone: str, days: DayRange, compared: Compared
) -> pl.DataFrame:
    table = open_usage_events(lake)
    # A day somewhere else begins up to 14 hours before that of UTC, or 12 after.
    touched = DayRange(compared.before - ONE_DAY, days.last + ONE_DAY)
    events = table.scan([day for day in table.days()["day"] if touched.first <= day <= touched.last])
    return duckdb_engine.run(
        "usage_series",
        {
            "bucket": bucket,
            "timezone": timezone,
            **compared._asdict(),
            "first": days.first,
            "last": days.last,
            "prompt_id": prompt_id,
        },
        usage_events=events.where(("prompt_id", "=", prompt_id)) if prompt_id else events,
    )
