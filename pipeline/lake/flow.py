"""Progress, remaining time and throttling of a read of events."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SAY_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class Progress:
    """How many of how many events have been read, and how many seconds after the read began."""

    done: int
    total: int
    seconds: float

    def __str__(self) -> str:
        said = f"{self.done:,} of {self.total:,} events"
        if not self.done or self.seconds <= 0:
            return said
        per_second = self.done / self.seconds
        left = dt.timedelta(seconds=round((self.total - self.done) / per_second))
        return f"{said}, {per_second:,.0f} per second, {left} left"


OnProgress = Callable[[Progress], None]
"""A callback for the progress of a read."""


def now_and_then(say: OnProgress, every_seconds: float = SAY_EVERY_SECONDS) -> OnProgress:
    """Calls ``on_progress`` at most once per interval, and not at all for a read that is shorter."""
    said = 0.0

    def hear(progress: Progress) -> None:
        nonlocal said
        if progress.seconds - said >= every_seconds:
            said = progress.seconds
            say(progress)

    return hear


BYTES_PER_BATCH = 16 * 2**20
"""The driver's own default."""
BYTES_PER_ROW = 100
"""Less than an event takes, so that a batch holds less than the rows of a second."""


def batch_bytes(rows_per_second: int) -> int:
    """The size of a batch, small enough that throttled rows arrive steadily."""
    return min(BYTES_PER_BATCH, rows_per_second * BYTES_PER_ROW)


def paced(batches: Iterable[pa.RecordBatch], rows_per_second: int | None) -> Iterator[pa.RecordBatch]:
    """Throttles batches to a number of rows per second, or passes them on if there is no limit.

    The sender waits when the buffers in between are full, after a few megabytes.
    """
    begun = time.monotonic()
    for batch in batches:
        if rows_per_second:
            time.sleep(max(0.0, begun + batch.num_rows / rows_per_second - time.monotonic()))
            begun = time.monotonic()
        yield batch
