"""Records what an erasure has done so far, for the error if it fails half-way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from pipeline.database.connections import cause_of
from pipeline.errors import DatabaseError, PromptStatsError, readable

AGAIN = "Fix that and run the command again; what is done stays done"


class Step(Enum):
    """The steps in order. The value says what is erased."""

    JOURNAL = "the events that wait in the journal"
    ROWS = "the rows of prompt_usage, prompt_favorites and prompt_usage_rejected"
    LAKE = "the events of expired days in the lake, and of days that Postgres no longer has"
    STATS = "the events of the other days in the lake, and what the stats say of the person"
    FILES = "the lake's old files"
    VALUES = "the error messages in the stats by scene, environment and outfit"
    DEAD_ROWS = "the deleted rows on Postgres's disk"
    LOGS = "the id in logs"
    SEARCH = "the search for what is left"


class Account:
    """Which steps are done."""

    def __init__(self) -> None:
        self._done: list[Step] = []
        self._begun: list[Step] = []

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Takes a step: it is done at the end of the block."""
        self._begun.append(step)
        yield
        self._done.append(step)

    def half_way(self, error: Exception | KeyboardInterrupt) -> PromptStatsError:
        """What ended the erasure, Ctrl-C too, with what was done and what was not."""
        kind: type[PromptStatsError]
        kind, said, remedy = DatabaseError, readable(cause_of(error)), AGAIN
        if isinstance(error, PromptStatsError):
            kind, said = type(error), f"{error.attempted}: {error.wrong}"
            remedy = f"{error.remedy}. {AGAIN}"
        if isinstance(error, KeyboardInterrupt):
            kind, said = PromptStatsError, "it was interrupted"
            remedy = "Run it again: what is done stays done"
        # Ctrl-C may come between two steps.
        in_part = "".join(step.value for step in self._begun if step not in self._done) or "nothing"
        left = [step for step in Step if step not in self._begun]
        done = f"done: {listed(self._done)}" if self._done else "nothing is done"
        return kind(
            "Erasing a user",
            f"{said}. So this may be done in part: {in_part}; {done}; not done: {listed(left)}",
            remedy,
        )


def listed(steps: list[Step]) -> str:
    """What some steps erase."""
    return ", ".join(step.value for step in steps) or "nothing else"
