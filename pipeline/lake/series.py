"""Usage of one prompt over time, counted from the raw events in the lake when somebody asks."""

from __future__ import annotations

import polars as pl
import pyarrow.dataset as ds

from pipeline.days import ONE_DAY, DayRange
from pipeline.engines import duckdb_engine
from pipeline.lake.usage_events import open_usage_events

COLUMNS = ("prompt_id", "created_at", "success")


def prompt_series(lake: str, prompt_id: str, bucket: str, timezone: str, days: DayRange) -> pl.DataFrame:
    """One row a period, in order: ``period`` (local time of its start), ``usage_count``, ``success_count``,
    ``failure_count``, ``success_rate`` in percent, null where there was no use.

    ``bucket`` is ``hour`` (then the time zone has to be UTC), ``day``, ``week`` or ``month``. ``timezone``
    is a name of the IANA database; the days are its days.

    :raises LakeError: the lake can't be read.
    """
    table = open_usage_events(lake)
    # A day somewhere else begins up to 14 hours before that of UTC, or 12 after.
    held = set(table.days()["day"])
    touched = [day for day in DayRange(days.first - ONE_DAY, days.last + ONE_DAY).days() if day in held]
    events = table.read(touched).filter(ds.field("prompt_id") == prompt_id)
    return duckdb_engine.run(
        "prompt_series",
        {
            "bucket": bucket,
            "timezone": timezone,
            "first": days.first,
            "last": days.last,
            "prompt_id": prompt_id,
        },
        usage_events=events,
    )
