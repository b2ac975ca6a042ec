"""polars alone, streaming: both tables anew from all files, every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from tests.benchmarks.peers.worker import Place, Seconds, Step, serve


def _prepare(place: Place) -> Callable[[Step], Seconds]:
    folder = Path(place.folder)

    def do(step: Step) -> Seconds:
        if step.name == "export":
            return None
        time_ms, success = pl.col("generation_time_ms"), pl.col("success")
        scene_day = (
            pl.scan_parquet(f"{place.events}/*/*.parquet", hive_partitioning=True, try_parse_hive_dates=True)
            .group_by("day", "prompt_id", "scene")
            .agg(
                pl.len().cast(pl.Int64).alias("usage_count"),
                success.sum().cast(pl.Int64).alias("success_count"),
                (~success).sum().cast(pl.Int64).alias("failure_count"),
                time_ms.count().cast(pl.Int64).alias("timed_count"),
                time_ms.cast(pl.Int64).sum().alias("time_ms_sum"),
                pl.col("created_at").max().alias("last_used_at"),
            )
        )
        scene_day.sink_parquet(folder / "prompt_scene_day.parquet")
        totals = (
            pl.scan_parquet(folder / "prompt_scene_day.parquet")
            .group_by("prompt_id")
            .agg(
                pl.col("usage_count", "success_count", "failure_count").sum(),
                (pl.col("time_ms_sum").sum() / pl.col("timed_count").sum()).alias("avg_time_ms"),
                pl.col("last_used_at").max(),
            )
        )
        totals.sink_parquet(folder / "prompt_totals.parquet")
        return None

    return do


if __name__ == "__main__":
    serve(_prepare)
