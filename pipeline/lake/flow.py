"""How events flow to the lake: how far a read is, how long it takes yet, and no faster than asked."""

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
    """How many events of how many were read, so many seconds after the read began."""

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
"""What is told how far a read is."""


def now_and_then(say: OnProgress, every_seconds: float = SAY_EVERY_SECONDS) -> OnProgress:
    """Passes progress on every so often: not of a read that is over sooner."""
    said = 0.0

    def hear(progress: Progress) -> None:
        nonlocal said
        if progress.seconds - said >= every_seconds:
            said = progress.seconds
            say(progress)

    return hear


BYTES_PER_BATCH = 16 * 2**20
"""As large as the driver makes it by itself."""
BYTES_PER_ROW = 100
"""Fewer than an event takes, so that a batch is less than a second's worth."""


def batch_bytes(rows_per_second: int) -> int:
    """How large a batch may be, so that rows come one by one rather than in gusts."""
    return min(BYTES_PER_BATCH, rows_per_second * BYTES_PER_ROW)


def paced(batches: Iterable[pa.RecordBatch], rows_per_second: int | None) -> Iterator[pa.RecordBatch]:
    """The same batches, no more rows per second than so many; without a limit, as they come.

    Whoever sends waits meanwhile, once the buffers in between are full: a few megabytes.
    """
    begun = time.monotonic()
    for batch in batches:
        if rows_per_second:
            time.sleep(max(0.0, begun + batch.num_rows / rows_per_second - time.monotonic()))
            begun = time.monotonic()
        yield batch
