"""The stats tables' numbers depend on the rows alone, not on how an engine hands them over."""

from __future__ import annotations

import datetime as dt
import math
from itertools import pairwise

import polars as pl

from pipeline.stats import frames
from pipeline.stats.comparison import Z_95

SAMPLES = [(successes, events) for events in range(1, 12) for successes in range(events + 1)]
AT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


def totals(dimension: str, samples: list[tuple[int, int]]) -> pl.DataFrame:
    """A prompt a sample, and a value each; every row came by itself."""
    rows = [
        pl.DataFrame(
            {
                "prompt_id": [f"prompt {number}"],
                "dimension": [dimension],
                "value": [f"value {number}"],
                "usage_count": [events],
                "success_count": [successes],
                "failure_count": [events - successes],
                "timed_count": [events],
                "generation_time_ms_sum": [successes * 37],
                "generation_time_ps_sum": [0],
                "generation_time_ms_min": [0],
                "generation_time_ms_max": [37],
                "first_used_at": [AT],
                "last_used_at": [AT],
            }
        )
        for number, (successes, events) in enumerate(samples)
    ]
    return pl.concat(rows, rechunk=False)


def interval(successes: int, events: int) -> tuple[float, float]:
    """Wilson's, in Python's arithmetic."""
    p, z2 = successes / events, Z_95**2
    center = p + z2 / (2 * events)
    margin = Z_95 * math.sqrt(p * (1 - p) / events + z2 / (4 * events * events))
    lower, upper = ((end / (1 + z2 / events)) * 100 for end in (center - margin, center + margin))
    return max(lower, 0.0), min(upper, 100.0)


def numbers(table: pl.DataFrame, key: str) -> list[tuple[float, ...]]:
    """The rates and the mean, in the order of the samples."""
    columns = ("success_rate", "avg_generation_time_ms", "success_rate_lower", "success_rate_upper")
    return table.sort(key).select(columns).rows()


def test_the_way_rows_came_is_not_in_the_numbers() -> None:
    prompts = pl.DataFrame(schema={"prompt_id": pl.String, "favorite_count": pl.Int64})
    days = pl.DataFrame(schema={"day": pl.Date, "prompt_id": pl.String, "usage_count": pl.Int64})
    for samples in map(list, pairwise(SAMPLES)):
        expected = [
            (successes / events * 100, successes * 37 / events, *interval(successes, events))
            for successes, events in samples
        ]
        scenes = totals("scene", samples)
        assert numbers(frames.value_stats(scenes, "scene"), "scene") == expected
        assert numbers(frames.overall_stats(scenes, "scene"), "scene") == expected
        own = frames.prompt_stats(totals("prompt", samples), days, prompts, AT.date())
        assert numbers(own, "prompt_id") == expected
