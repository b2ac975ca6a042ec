"""What a contestant's process does: one step per line of its standard input, and says what it took.

It runs in the environment of the contestant, so nothing here needs more than Python.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Place(NamedTuple):
    """What a contestant is given."""

    url: str
    """Of the database with the raw events in ``prompt_usage``."""

    events: str
    """A folder of the same events as Parquet files, ``day=YYYY-MM-DD/events.parquet``."""

    folder: str
    """The contestant's own, empty at first."""

    first_day: str
    today: str


class Step(NamedTuple):
    """What is to be done: ``build``, ``append``, ``late``, ``delete``, ``backfill`` or ``export``.

    ``first`` and ``last`` are the days of a backfill. ``export`` writes ``prompt_scene_day.parquet`` and
    ``prompt_totals.parquet`` into the contestant's folder, and is not measured.
    """

    name: str
    first: str
    last: str


Seconds = Mapping[str, float] | None
"""Of parts of a step, where a contestant can tell: ``startup`` is taken off, others are shown."""


def serve(prepare: Callable[[Place], Callable[[Step], Seconds]]) -> None:
    """Answers steps until standard input ends; its first line is the place.

    Whatever the contestant prints goes to standard error.
    """
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    do = prepare(Place(**json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        step = Step(**json.loads(line))
        start = time.perf_counter()
        parts: dict[str, Any] = dict(do(step) or {})
        seconds = time.perf_counter() - start - parts.pop("startup", 0.0)
        print(json.dumps({"seconds": seconds, "parts": parts}), file=said, flush=True)
