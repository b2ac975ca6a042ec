"""Whether one success rate is better than another: the interval of their difference, and a plain verdict.

Pure: counts in, numbers and words out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution: a two-sided 95 % interval."""

CONFIDENCE = 95.0
"""Percent: how sure all differences of one answer are together."""

ENOUGH_USES = 30
"""What has fewer is compared with others together, not alone."""

SMALLEST_SHOWN = 0.05
"""Points: what is less would be printed as 0.0."""


@dataclass(frozen=True)
class Sample:
    """Uses of something with a name: a prompt, or its days before a date."""

    name: str
    usage_count: int
    success_count: int


@dataclass(frozen=True)
class Difference:
    """By how many percentage points one success rate is above another, and where that may lie.

    ``points``, ``lower`` and ``upper`` are None where one of both was not used; ``confidence`` is in percent.
    """

    points: float | None
    lower: float | None
    upper: float | None
    confidence: float
    verdict: str


def wilson(successes: int, uses: int, z: float) -> tuple[float, float]:
    """The ends of the Wilson score interval of a rate, 0 to 1. There has to be a use."""
    rate = successes / uses
    center = rate + z * z / (2 * uses)
    margin = z * math.sqrt(rate * (1 - rate) / uses + z * z / (4 * uses * uses))
    whole = 1 + z * z / uses
    return max(0.0, (center - margin) / whole), min(1.0, (center + margin) / whole)


def newcombe(rate: tuple[int, int], other: tuple[int, int], z: float) -> tuple[float, float, float]:
    """By how many percentage points a rate is above another, and the ends of the interval of that.

    Both are given as successes and uses, of which there have to be some. Made from the two Wilson intervals.
    Newcombe, R. G. (1998), "Interval estimation for the difference between independent proportions:
    comparison of eleven methods", method 10.
    """
    (p1, lower1, upper1), (p2, lower2, upper2) = (
        (successes / uses, *wilson(successes, uses, z)) for successes, uses in (rate, other)
    )
    points = (p1 - p2) * 100
    lower = points - math.hypot(p1 - lower1, upper2 - p2) * 100
    return points, lower, points + math.hypot(upper1 - p1, p2 - lower2) * 100


def difference(one: Sample, other: Sample, comparisons: int = 1) -> Difference:
    """By how many percentage points the success rate of ``one`` is above that of ``other``.

    Of several comparisons each is surer than 95 % (Bonferroni), so that all of them together are 95 % sure.
    """
    confidence = 100 - (100 - CONFIDENCE) / comparisons
    unused = [each.name for each in (one, other) if not each.usage_count]
    if unused:
        said = " and ".join(unused)
        words = f"{said} {'were' if len(unused) > 1 else 'was'} not used: there is nothing to compare"
        return Difference(None, None, None, confidence, words)
    z = NormalDist().inv_cdf(1 - (1 - confidence / 100) / 2)
    points, lower, upper = newcombe(
        (one.success_count, one.usage_count), (other.success_count, other.usage_count), z
    )
    return Difference(points, lower, upper, confidence, _verdict(one.name, other.name, lower, upper))


def differences(samples: Sequence[Sample]) -> list[Difference]:
    """How each sample but the first differs from the first."""
    first, *others = samples
    return [difference(each, first, len(others)) for each in others]


def standings(counts: Sequence[tuple[int, int]]) -> list[Literal["best", "worst"] | None]:
    """Which of several success rates, given as successes and uses, is surely the best, and which the worst.

    The best is the one whose interval lies wholly above that of all others together, and above that of each
    other with 30 uses or more; the worst lies below them. There may be neither.
    The more rates, the wider each interval (Bonferroni), so that all of them together are 95 % sure.
    """
    found: list[Literal["best", "worst"] | None] = [None] * len(counts)
    used = [number for number, (_, uses) in enumerate(counts) if uses]
    if len(used) < 2:
        return found
    z = NormalDist().inv_cdf(1 - (100 - CONFIDENCE) / 100 / len(used) / 2)
    intervals = {number: wilson(*counts[number], z) for number in used}

    def others(one: int) -> list[tuple[float, float]]:
        rest = [number for number in used if number != one]
        successes, uses = (sum(column) for column in zip(*(counts[number] for number in rest), strict=True))
        alone = [intervals[number] for number in rest if counts[number][1] >= ENOUGH_USES]
        return [wilson(successes, uses, z), *alone]

    best = max(used, key=lambda number: intervals[number][0])
    worst = min(used, key=lambda number: intervals[number][1])
    if intervals[best][0] > max(upper for _, upper in others(best)):
        found[best] = "best"
    if intervals[worst][1] < min(lower for lower, _ in others(worst)):
        found[worst] = "worst"
    return found


def _verdict(one: str, other: str, lower: float, upper: float) -> str:
    if lower > 0:
        return f"{one} is better than {other} by {_points(lower)} to {_points(upper)} points"
    if upper < 0:
        return f"{one} is worse than {other} by {_points(-upper)} to {_points(-lower)} points"
    return f"no difference between {one} and {other} is shown yet ({lower:+.1f} to {upper:+.1f} points)"


def _points(value: float) -> str:
    return "less than 0.1" if value < SMALLEST_SHOWN else f"{value:.1f}"
