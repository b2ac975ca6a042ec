"""What the partials say of one prompt, read when somebody asks: its generation times, its scenes over time.

What the published stats hold already is not here.
"""

from __future__ import annotations

import polars as pl

from pipeline.days import DayRange
from pipeline.engines import duckdb_engine
from pipeline.engines.scan import Condition
from pipeline.lake.partials import USAGE, open_partials
from pipeline.lake.periods import State
from pipeline.stats.percentiles import bucket_ends


def generation_times(lake: str, prompt_id: str) -> pl.DataFrame:
    """How many events took how long: one row per bucket of the histogram that has any, the shortest first.

    ``from_ms``, ``to_ms`` (included) and ``usage_count``.

    :raises LakeError: the lake can't be read.
    """
    partials = State(lake, USAGE).scan().where(*_of(prompt_id, "time"))
    buckets = duckdb_engine.run("merged_partials", partials=partials).select(
        pl.col("value").cast(pl.Int32).alias("time_bucket"), "usage_count"
    )
    return buckets.sort("time_bucket").select(*bucket_ends(), "usage_count")


def scene_series(lake: str, prompt_id: str, bucket: str, days: DayRange, limit: int) -> pl.DataFrame:
    """One row a scene and period with use: ``scene``, ``period`` (its first day), ``usage_count``,
    ``success_count``, ``failure_count``, ``success_rate`` in percent. In order of time.

    ``bucket`` is ``day``, ``week`` or ``month``, in days of UTC. ``limit``: of how many scenes, at most;
    the most used are chosen.

    :raises LakeError: the lake can't be read.
    """
    table = open_partials(lake)
    held = [day for day in table.days()["day"] if days.first <= day <= days.last]
    partials = table.scan(held).where(*_of(prompt_id, "scene"))
    return duckdb_engine.run("scene_series", {"bucket": bucket, "limit": limit}, partials=partials)


def _of(prompt_id: str, dimension: str) -> tuple[Condition, Condition]:
    return ("prompt_id", "=", prompt_id), ("dimension", "=", dimension)
