"""Says what is under way, and measures how long things take, the steps of a refresh among them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from pipeline import refresh as refresh_module
from pipeline import repair
from pipeline.lake.partials import USERS

STEPS = {
    (refresh_module, "plan_refresh"): "plan",
    (refresh_module, "sync_days"): "sync",
    (repair, "roll_up"): "roll up",
    (repair, "settled"): "settle",
    (repair, "published"): "publish",
}
"""The functions that :func:`pipeline.refresh.refresh` calls, and what the tables call them."""

_begun = time.perf_counter()


def say(text: str) -> None:
    """One line of progress, with the seconds since the benchmark began."""
    print(f"[{time.perf_counter() - _begun:7.1f} s] {text}", file=sys.stderr, flush=True)


def seconds_of(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def repeated_seconds(
    name: str,
    work: Callable[[], object],
    prepare: Callable[[], object] = lambda: None,
    *,
    runs: int = 3,
    budget_seconds: float = 120,
) -> list[float]:
    """How long each of ``runs`` calls takes; no further call once ``budget_seconds`` are spent.

    ``prepare`` comes before each call and is not measured.
    """
    seconds: list[float] = []
    while len(seconds) < runs and sum(seconds) < budget_seconds:
        prepare()
        seconds.append(seconds_of(work))
        say(f"{name}: {seconds[-1]:.2f} s")
    return seconds


def median_seconds(
    name: str, work: Callable[[], object], prepare: Callable[[], object] = lambda: None
) -> float:
    """The median of :func:`repeated_seconds`."""
    return median(repeated_seconds(name, work, prepare))


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Step by step the median over the runs; a step that a run did not have took no time in it."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: median(run.get(name, 0.0) for run in runs) for name in names}


@contextmanager
def clocked(after: Callable[[str], object] = lambda _step: None) -> Iterator[dict[str, float]]:
    """The seconds that each step of the refreshes within the block takes; ``after`` is told when one ends.

    The refresh that is measured is the pipeline's own, so its steps are wrapped where it looks them up.
    What is done for the stats of users alone is a step apart.
    """
    seconds: dict[str, float] = {}
    originals = {step: getattr(*step) for step in STEPS}

    def timed(label: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def clock(*arguments: Any, **options: Any) -> Any:
            is_of_users = any(value is USERS for value in (*arguments, *options.values()))
            named = label + (" users" if is_of_users else "")
            start = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                seconds[named] = seconds.get(named, 0.0) + time.perf_counter() - start
                after(named)

        return clock

    for step, original in originals.items():
        setattr(*step, timed(STEPS[step], original))
    try:
        yield seconds
    finally:
        for step, original in originals.items():
            setattr(*step, original)
