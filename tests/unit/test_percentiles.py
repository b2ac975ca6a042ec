"""Percentiles from buckets, against those of the sorted times themselves; where buckets begin and end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stats.percentiles import (
    BELOW_ONE_BUCKET,
    GAMMA,
    PERCENTILES,
    RELATIVE_ERROR,
    bucket_ends,
    percentiles,
)

TIMES_MS = st.lists(st.one_of(st.integers(1, 120_000), st.integers(1, 2**31 - 1)), min_size=1, max_size=200)


def bucket(time_ms: int) -> int:
    """The bucket of a time, found by counting up: the first whose upper end it does not exceed."""
    if time_ms <= 0:
        return BELOW_ONE_BUCKET
    number = 0
    while GAMMA**number < time_ms:
        number += 1
    return number


def frame(times_ms: Sequence[int], prompt: str = "a prompt") -> pl.DataFrame:
    counts = Counter(map(bucket, times_ms))
    return pl.DataFrame(
        {"prompt_id": prompt, "time_bucket": list(counts), "usage_count": list(counts.values())},
        schema={"prompt_id": pl.String, "time_bucket": pl.Int32, "usage_count": pl.Int64},
    )


@given(TIMES_MS)
def test_estimates_are_within_two_percent(times_ms: list[int]) -> None:
    (found,) = percentiles(frame(times_ms)).to_dicts()

    for name, percent in PERCENTILES.items():
        # The smallest that so many per cent do not exceed, as percentile_disc.
        exact = sorted(times_ms)[-(-percent * len(times_ms) // 100) - 1]
        assert found[name] == pytest.approx(exact, rel=RELATIVE_ERROR * (1 + 1e-9)), name


@given(st.lists(TIMES_MS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_merging_does_not_matter(parts: list[list[int]], order: random.Random) -> None:
    whole = percentiles(frame([time for part in parts for time in part]))
    order.shuffle(parts)

    merged = pl.concat(frame(part) for part in parts)

    assert percentiles(merged.sample(fraction=1, shuffle=True, seed=1)).equals(whole)


def test_each_prompt_has_its_own() -> None:
    found = percentiles(pl.concat([frame([100] * 10, "fast"), frame([50, 9000, 9000, 9000], "slow")]))

    medians = dict(found.select("prompt_id", "p50_generation_time_ms").iter_rows())
    assert medians == pytest.approx({"fast": 100, "slow": 9000}, rel=RELATIVE_ERROR)


def test_times_without_a_logarithm_are_zero() -> None:
    (found,) = percentiles(frame([0, -5, 0, 80])).to_dicts()

    assert found["p50_generation_time_ms"] == 0
    assert percentiles(frame([80, 0])).item(0, "p50_generation_time_ms") == 0


def test_nothing_timed_gives_no_row() -> None:
    assert percentiles(frame([])).is_empty()


@given(TIMES_MS)
def test_a_bucket_ends_around_its_times(times_ms: list[int]) -> None:
    ends = frame(times_ms).select("time_bucket", *bucket_ends())

    for number, start, end in ends.iter_rows():
        assert all(start < time <= end for time in times_ms if bucket(time) == number)


def test_times_without_a_logarithm_are_from_zero_to_where_the_next_bucket_begins() -> None:
    lowest, next_one = frame([-5, 0, 1]).sort("time_bucket").select(*bucket_ends()).rows()

    assert lowest == (0, next_one[0])
    assert next_one[1] == 1
