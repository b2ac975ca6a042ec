"""Rates and means, against values worked out elsewhere."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stats.rates import avg_generation_time_ms, success_rate, success_rate_interval


def value(expression: pl.Expr, **counts: int) -> float | None:
    """What the expression makes of one row."""
    found = pl.DataFrame({name: [count] for name, count in counts.items()}).select(expression).item()
    assert found is None or isinstance(found, float)
    return found


def lower(successes: int, uses: int) -> float | None:
    return value(success_rate_interval()[0], usage_count=uses, success_count=successes)


def upper(successes: int, uses: int) -> float | None:
    return value(success_rate_interval()[1], usage_count=uses, success_count=successes)


@pytest.mark.parametrize(
    ("successes", "uses", "expected"),
    [(3, 3, 43.85), (950, 1000, 93.47), (0, 10, 0.0), (1, 1, 20.65), (5, 10, 23.66), (10, 10, 72.25)],
)
def test_the_lower_bound_is_wilsons(successes: int, uses: int, expected: float) -> None:
    assert lower(successes, uses) == pytest.approx(expected, abs=0.005)


def test_what_was_never_used_has_no_rate() -> None:
    assert value(success_rate(), usage_count=0, success_count=0) is None
    assert lower(0, 0) is None
    assert upper(0, 0) is None


def mean(timed_count: int, ms: int, ps: int = 0) -> object:
    return value(
        avg_generation_time_ms(),
        timed_count=timed_count,
        generation_time_ms_sum=ms,
        generation_time_ps_sum=ps,
    )


def test_what_was_never_timed_has_no_mean() -> None:
    assert mean(0, 0) is None
    assert mean(4, 10) == 2.5


def test_a_mean_keeps_fractions_of_milliseconds() -> None:
    assert mean(1, 5012, 400_000_000) == 5012.4
    # What is beyond whole milliseconds adds up to more than one.
    assert mean(2, 3, 1_000_000_000) == 2.0


def test_the_rate_is_over_all_uses_decided_or_not() -> None:
    assert value(success_rate(), usage_count=8, success_count=6) == 75.0


@given(st.integers(1, 10**12).flatmap(lambda uses: st.tuples(st.integers(0, uses), st.just(uses))))
def test_the_lower_bound_solves_wilsons_equation(counts: tuple[int, int]) -> None:
    successes, uses = counts
    observed = successes / uses

    bound = lower(successes, uses)

    assert bound is not None
    bound /= 100
    assert 0 <= bound <= observed + 1e-15
    # The bound is the share from which what was observed lies 1.96 standard errors away.
    assert observed - bound == pytest.approx(
        1.959964 * math.sqrt(bound * (1 - bound) / uses), rel=1e-5, abs=1e-7
    )


@given(st.integers(1, 10**9).flatmap(lambda uses: st.tuples(st.integers(0, uses), st.just(uses))))
def test_successes_and_the_rest_have_intervals_that_mirror_each_other(counts: tuple[int, int]) -> None:
    successes, uses = counts

    low, high = lower(uses - successes, uses), upper(successes, uses)

    assert low is not None
    assert high == pytest.approx(100 - low, abs=1e-9)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_more_evidence_of_the_same_rate_raises_the_bound(uses: int, factor: int) -> None:
    few, many = lower(uses, uses), lower(uses * factor, uses * factor)

    assert few is not None
    assert many is not None
    assert few <= many
