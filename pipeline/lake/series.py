"""Usage over time, of one prompt or all, counted from the raw events in the lake when somebody asks."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow.dataset as ds

from pipeline.days import ONE_DAY, DayRange
from pipeline.engines import duckdb_engine
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.usage_events import open_usage_events


def prompt_series(lake: str, prompt_id: str, bucket: str, timezone: str, days: DayRange) -> pl.DataFrame:
    """One row a period, in order: ``period`` (local time of its start), ``usage_count``, ``success_count``,
    ``failure_count``, ``success_rate`` in percent, null where there was no use.

    ``bucket`` is ``hour`` (then the time zone has to be UTC), ``day``, ``week`` or ``month``. ``timezone``
    is a name of the IANA database; the days are its days.

    :raises LakeError: the lake can't be read.
    """
    events = _events(open_usage_events(lake), days).filter(ds.field("prompt_id") == prompt_id)
    return _series(events, prompt_id, bucket, timezone, days)


def overview(
    lake: str, bucket: str, timezone: str, days: DayRange, previous: DayRange
) -> tuple[dict[str, Any], pl.DataFrame]:
    """What all prompts add up to over the days, and the same as :func:`prompt_series` over all of them.

    The first has ``usage_count``, ``success_count``, ``failure_count``, ``success_rate``,
    ``previous_usage_count`` and ``prompt_count``. ``previous``: the days just before.

    :raises LakeError: the lake can't be read.
    """
    table = open_usage_events(lake)
    totals = duckdb_engine.run(
        "usage_totals",
        {"timezone": timezone, "before": previous.first, "first": days.first, "last": days.last},
        usage_events=_events(table, DayRange(previous.first, days.last)),
    )
    return totals.row(0, named=True), _series(_events(table, days), None, bucket, timezone, days)


def _events(table: DailyTable, days: DayRange) -> ds.Dataset:
    # A day somewhere else begins up to 14 hours before that of UTC, or 12 after.
    held = set(table.days()["day"])
    return table.read(
        [day for day in DayRange(days.first - ONE_DAY, days.last + ONE_DAY).days() if day in held]
    )


def _series(
    events: ds.Dataset, prompt_id: str | None, bucket: str, timezone: str, days: DayRange
) -> pl.DataFrame:
    return duckdb_engine.run(
        "usage_series",
        {
            "bucket": bucket,
            "timezone": timezone,
            "first": days.first,
            "last": days.last,
            "prompt_id": prompt_id,
        },
        usage_events=events,
    )
