"""This project: everything but the stats of users, from the raw table to the published stats."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import polars as pl
import psycopg
import pyarrow.dataset as ds

from pipeline.database.connections import Database
from pipeline.days import DayRange
from pipeline.lake.partials import open_partials
from pipeline.refresh import refresh
from tests.app import at
from tests.benchmarks.clock import clocked
from tests.benchmarks.peers.worker import Place, Seconds, Step, serve

TOTALS = """
SELECT id::text, usage_count, success_count, failure_count, avg_generation_time_ms, last_used_at
FROM prompts WHERE usage_count > 0
"""

RENAMED = {
    "day": "day",
    "prompt_id": "prompt_id",
    "value": "scene",
    "usage_count": "usage_count",
    "success_count": "success_count",
    "failure_count": "failure_count",
    "timed_count": "timed_count",
    "generation_time_ms_sum": "time_ms_sum",
}


def _prepare(place: Place) -> Callable[[Step], Seconds]:
    database = Database.from_url(place.url)
    lake = Path(place.folder) / "lake"
    lake.mkdir()
    first_day = dt.date.fromisoformat(place.first_day)

    def do(step: Step) -> Seconds:
        if step.name == "export":
            _export(place, str(lake))
            return None
        days = None
        if step.name == "backfill":
            days = list(DayRange(dt.date.fromisoformat(step.first), dt.date.fromisoformat(step.last)).days())
        with clocked() as seconds:
            refresh(at(database, str(lake), first_day), days, replace=bool(days), users=False)
        return seconds

    return do


def _export(place: Place, lake: str) -> None:
    partials = open_partials(lake).read().to_table(list(RENAMED), filter=ds.field("dimension") == "scene")
    pl.DataFrame(partials).rename(RENAMED).write_parquet(f"{place.folder}/prompt_scene_day.parquet")
    with psycopg.connect(place.url) as connection:
        rows = connection.execute(TOTALS).fetchall()
    columns = ["prompt_id", "usage_count", "success_count", "failure_count", "avg_time_ms", "last_used_at"]
    pl.DataFrame(rows, schema=columns, orient="row").write_parquet(f"{place.folder}/prompt_totals.parquet")


if __name__ == "__main__":
    serve(_prepare)
