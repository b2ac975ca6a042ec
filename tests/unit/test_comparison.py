"""The interval of a difference of two rates, and what is said of it."""

from __future__ import annotations

import random

import pytest

from pipeline.stats.comparison import Sample, difference, differences, standings


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # The examples of Newcombe (1998), table II, method 10.
        ((56, 70), (48, 80), (0.2000, 0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.6000, 0.1705, 0.8090)),
        ((5, 56), (0, 29), (0.0893, -0.0381, 0.1926)),
        ((0, 10), (0, 20), (0.0000, -0.1611, 0.2775)),
        ((10, 10), (0, 20), (1.0000, 0.6791, 1.0000)),
    ],
)
def test_the_interval_is_newcombes(
    one: tuple[int, int], other: tuple[int, int], expected: tuple[float, float, float]
) -> None:
    found = difference(Sample("A", one[1], one[0]), Sample("B", other[1], other[0]))
    assert (found.points, found.lower, found.upper) == pytest.approx(
        [each * 100 for each in expected], abs=0.006
    )
    assert found.verdict.startswith("no difference") == (expected[1] <= 0 <= expected[2])


def test_without_events_there_is_no_difference() -> None:
    found = difference(Sample("A", 2, 1), Sample("B", 0, 0))
    assert (found.points, found.lower, found.upper) == (None, None, None)


def test_the_interval_holds_the_truth_in_95_of_100_samples() -> None:
    chance = random.Random(20)  # noqa: S311  # a test's
    held = 0
    for _ in range(1_000):
        one, other = (
            Sample(name, 200, sum(chance.random() < rate for _ in range(200)))
            for name, rate in (("A", 0.9), ("B", 0.85))
        )
        found = difference(one, other)
        held += (found.lower or 0) <= 5 <= (found.upper or 0)
    assert 930 <= held <= 975


def test_a_verdict_is_plain() -> None:
    good, bad = Sample("A", 1_000, 950), Sample("B", 1_000, 890)
    assert difference(good, bad).verdict == "A is better than B by 3.6 to 8.4 points"
    assert difference(bad, good).verdict == "B is worse than A by 3.6 to 8.4 points"
    alike = difference(Sample("C", 100, 95), good)
    assert alike.verdict.startswith("no difference between C and A is shown yet (-")
    assert difference(good, Sample("D", 0, 0)).verdict == "D was not used: there is nothing to compare"
    assert "were not used" in difference(Sample("E", 0, 0), Sample("D", 0, 0)).verdict


def test_of_several_each_is_surer() -> None:
    samples = [Sample(name, 500, count) for name, count in (("A", 450), ("B", 430), ("C", 400))]
    alone = difference(samples[1], samples[0])
    to_b, to_c = differences(samples)
    assert (alone.confidence, to_b.confidence, to_c.confidence) == (95, 97.5, 97.5)
    assert to_b.lower is not None
    assert alone.lower is not None
    assert to_b.lower < alone.lower
    assert to_c.verdict.startswith("C is worse than A by ")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], []),
        ([(9, 10)], [None]),
        ([(95, 100), (0, 0)], [None, None]),
        ([(950, 1_000), (900, 1_000), (800, 1_000)], ["best", None, "worst"]),
        # Two that are alike are both better than the others together, and neither is the best.
        ([(950, 1_000), (949, 1_000), (800, 1_000)], [None, None, "worst"]),
        # One with few uses hides nothing, and is not best for being lucky.
        ([(950, 1_000), (800, 1_000), (3, 3)], ["best", "worst", None]),
        ([(800, 1_000), (3, 3)], [None, None]),
        ([(0, 20), (1_000, 1_000)], ["worst", "best"]),
        # Of many one lies apart by chance sooner than of two.
        ([(985, 1_000), (960, 1_000)], ["best", "worst"]),
        ([(985, 1_000)] + [(960, 1_000)] * 14, [None] * 15),
    ],
)
def test_only_what_is_surely_best_or_worst_is_marked(
    counts: list[tuple[int, int]], expected: list[str | None]
) -> None:
    assert standings(counts) == expected


def test_of_rates_that_are_alike_hardly_any_is_marked() -> None:
    chance = random.Random(20)  # noqa: S311  # a test's
    marked = 0
    for _ in range(200):
        counts = [(sum(chance.random() < 0.9 for _ in range(100)), 100) for _ in range(15)]
        marked += standings(counts) != [None] * 15
    assert marked <= 10
