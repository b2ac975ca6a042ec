"""When a success rate changed: the day that parts a series best, if chance does not explain it.

Pure: counts in, numbers out.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from pipeline.stats.comparison import Z_95, wilson

FALSE_ALARMS = 0.01
"""In how many series without a change one is found, at most."""

DAYS_MIN = 7
"""With use: of fewer it is not known how far days differ anyway."""

NEGLIGIBLE = 1e-12
"""Share of a sum below which its further terms, which fall, are left out."""


class Day(NamedTuple):
    """The uses of a day, and how many of them succeeded."""

    day: dt.date
    usage_count: int
    success_count: int


class ChangePoint(NamedTuple):
    """The day since which a rate is another, and both rates in percent with their 95 % Wilson intervals."""

    day: dt.date
    before_usage_count: int
    before_success_rate: float
    before_success_rate_lower: float
    before_success_rate_upper: float
    since_usage_count: int
    since_success_rate: float
    since_success_rate_lower: float
    since_success_rate_upper: float


def change_point(days: Sequence[Day]) -> ChangePoint | None:
    """The one day since which the success rate is another; None if chance explains the series.

    ``days`` in order. Of all splits into days before and days since it takes the most likely, by the
    likelihood ratio of two binomial rates to one: the sum over both sides of ``s ln(s/n) + f ln(f/n)``, less
    that of the whole, where ``s`` of ``n`` uses succeeded and ``f`` did not. Worsley, K. J. (1983), "The
    power of likelihood ratio and cumulative sum tests for a change in a binomial probability".

    Chance is ruled out if ``p * splits <= FALSE_ALARMS``, where ``p`` is that of Fisher's exact test of the
    split, two-sided. Given the uses and all successes it holds for samples of any size, and by Bonferroni's
    inequality for whichever split is taken. Days differ by more than chance, for reasons that come and go.
    So all counts are first divided by how much more: the design effect, never less than 1. Rao, J. N. K. and
    Scott, A. J. (1992), "A simple method for the analysis of clustered binary data".

    Of several changes it is the one that parts the series best. A day that is not over counts with the uses
    that it has: its rate can be compared all the same.
    """
    used = [day for day in days if day.usage_count]
    if len(used) < DAYS_MIN:
        return None
    uses = list(accumulate(day.usage_count for day in used))
    successes = list(accumulate(day.success_count for day in used))
    whole = (uses[-1], successes[-1])

    def sides(split: int) -> tuple[tuple[int, int], tuple[int, int]]:
        before = (uses[split - 1], successes[split - 1])
        return before, (whole[0] - before[0], whole[1] - before[1])

    split = max(range(1, len(used)), key=lambda each: sum(_likelihood(*side) for side in sides(each)))
    before, since = sides(split)
    effect = _design_effect([(used[:split], before), (used[split:], since)])
    splits = len(used) - 1
    if fisher(_divided(before, effect), _divided(since, effect)) * splits > FALSE_ALARMS:
        return None
    return ChangePoint(used[split].day, *_rate(*before), *_rate(*since))


def _likelihood(uses: int, successes: int) -> float:
    """The logarithm of the likelihood at the rate that fits best, but for what is the same of every rate."""
    counts = (successes, uses - successes)
    return sum(count * math.log(count / uses) for count in counts if count)


def _design_effect(parts: Sequence[tuple[Sequence[Day], tuple[int, int]]]) -> float:
    """How many times the variance by chance the rates of days have, around the rate of their part."""
    squares, days = 0.0, 0
    for part, (uses, successes) in parts:
        rate = successes / uses
        days += len(part)
        if 0 < rate < 1:
            squares += sum(
                (day.success_count - day.usage_count * rate) ** 2 / (day.usage_count * rate * (1 - rate))
                for day in part
            )
    return max(1.0, squares / (days - len(parts)))


def _divided(side: tuple[int, int], effect: float) -> tuple[int, int]:
    """Uses and successes of so many independent ones."""
    uses, successes = side
    succeeded = round(successes / effect)
    return succeeded + round((uses - successes) / effect), succeeded


def fisher(before: tuple[int, int], since: tuple[int, int]) -> float:
    """Fisher's exact test: how likely chance alone parts the successes at least so unevenly, either way.

    Both sides are given as uses and successes.
    """
    (n, s), (others, other_successes) = before, since
    uses, successes = n + others, s + other_successes
    if not 0 < n < uses:
        return 1.0
    # The tail that leads away from the successes that are to be expected: term by term, each from the last.
    step = 1 if s * uses >= successes * n else -1
    term = math.exp(_log_choose(successes, s) + _log_choose(uses - successes, n - s) - _log_choose(uses, n))
    tail = 0.0
    while term > tail * NEGLIGIBLE:
        tail += term
        if step > 0:
            term *= (successes - s) * (n - s) / ((s + 1) * (uses - successes - n + s + 1))
        else:
            term *= s * (uses - successes - n + s) / ((successes - s + 1) * (n - s + 1))
        s += step
    return min(1.0, 2 * tail)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _rate(uses: int, successes: int) -> tuple[int, float, float, float]:
    lower, upper = wilson(successes, uses, Z_95)
    return uses, successes / uses * 100, lower * 100, upper * 100
