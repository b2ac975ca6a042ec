"""When a rate changed: chance is seldom taken for a change, and a change is found where it was planted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from pipeline.stats.change_point import DAYS_MIN, Day, change_point, fisher
from pipeline.stats.comparison import Z_95, wilson

FIRST = dt.date(2026, 1, 1)
SERIES = 500
LUCK = np.random.default_rng(20)


def made(uses: Iterable[int], successes: Iterable[int]) -> list[Day]:
    """A day for each of both."""
    counts = zip(uses, successes, strict=True)
    return [Day(FIRST + dt.timedelta(days=number), *each) for number, each in enumerate(counts)]


def drawn(rates: list[float], uses_per_day: float, luck: np.random.Generator) -> list[Day]:
    """Days by chance: some have no use."""
    uses = luck.poisson(uses_per_day, len(rates))
    return made(uses.tolist(), luck.binomial(uses, rates).tolist())


@pytest.mark.parametrize(("seed", "uses_per_day"), [(0, 1), (1, 30), (2, 3_000)])
def test_in_at_most_one_of_a_hundred_steady_series_a_change_is_found(seed: int, uses_per_day: int) -> None:
    luck = np.random.default_rng(seed)
    found = 0
    for _ in range(SERIES):
        rate = luck.choice((0.02, 0.5, 0.91, 0.99))
        found += change_point(drawn([rate] * luck.integers(7, 367), uses_per_day, luck)) is not None
    assert found <= SERIES * 0.01


@pytest.mark.parametrize(("before", "since"), [(0.91, 0.72), (0.72, 0.91), (0.995, 0.9), (0.9, 0.0)])
def test_a_planted_change_is_found_on_its_day(before: float, since: float) -> None:
    luck = np.random.default_rng(3)
    near = 0
    for _ in range(50):
        days = drawn([before] * 23 + [since] * 7, 60, luck)
        found = change_point(days)
        assert found
        near += abs((found.day - FIRST).days - 23) <= 1
        assert found.before_usage_count + found.since_usage_count == sum(day.usage_count for day in days)
        assert found.before_success_rate == pytest.approx(before * 100, abs=6)
        assert found.since_success_rate == pytest.approx(since * 100, abs=12)
    assert near >= 45


def test_both_rates_have_their_wilson_intervals() -> None:
    found = change_point(made([100] * 10, [90] * 6 + [60] * 4))
    assert found
    lower, upper = wilson(540, 600, Z_95)
    assert found[:5] == (FIRST + dt.timedelta(days=6), 600, 90.0, lower * 100, upper * 100)
    lower, upper = wilson(240, 400, Z_95)
    assert found[5:] == (400, 60.0, lower * 100, upper * 100)


def test_a_day_without_use_is_not_the_day_of_a_change() -> None:
    found = change_point(made([100] * 6 + [0, 0] + [100] * 4, [90] * 6 + [0, 0] + [60] * 4))
    assert found
    assert found.day == FIRST + dt.timedelta(days=8)


@pytest.mark.parametrize(
    ("uses", "successes"),
    [
        ([], []),
        ([0] * 30, [0] * 30),
        ([100] * (DAYS_MIN - 1), [100] * 3 + [0] * 3),
        ([100] * 30, [100] * 30),
        ([100] * 30, [0] * 30),
        # A bad day in the middle of good ones, and days that differ as much as the change would.
        ([200] * 15, [180] * 7 + [60] + [180] * 7),
        ([200] * 12, [190, 120] * 3 + [170, 110] * 3),
    ],
)
def test_nothing_is_said_of_what_is_too_short_or_steady_or_restless(
    uses: list[int], successes: list[int]
) -> None:
    assert change_point(made(uses, successes)) is None


def test_the_test_of_a_split_is_fishers() -> None:
    for _ in range(300):
        n, others = LUCK.integers(1, 400, 2).tolist()
        s, other_successes = LUCK.binomial((n, others), LUCK.random(2)).tolist()
        whole = (n + others, s + other_successes, n)
        tails = stats.hypergeom.cdf(s, *whole), stats.hypergeom.sf(s - 1, *whole)
        expected = 2 * tails[bool(s * whole[0] >= whole[1] * n)]
        found = fisher((n, s), (others, other_successes))
        assert found == pytest.approx(min(1.0, expected), rel=1e-7, abs=1e-250)
