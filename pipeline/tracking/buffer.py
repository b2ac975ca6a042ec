"""Keeps waiting events in memory."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import deque

from pipeline.tracking.call import Call, Waiting
from pipeline.tracking.event import Event

EVENT_BYTES = 1_000
"""About the memory that an event takes without its texts."""


class Buffer:
    """A bounded queue. Any thread adds, one takes. Taken events stay until they are reported as done."""

    def __init__(self, capacity_bytes: int) -> None:
        """``capacity_bytes``: about how much memory waiting events may take."""
        self._room_bytes = capacity_bytes
        # An app's own handler of a signal may track, or close, in the middle of a call of the same thread.
        self._lock = threading.RLock()
        self._waiting: deque[tuple[float, int, Waiting]] = deque()
        self._taken: list[tuple[float, int, Waiting]] = []

    def add(self, waiting: Waiting) -> bool:
        """Whether there was room for it."""
        size_bytes = _size_bytes(waiting)
        with self._lock:
            if size_bytes > self._room_bytes:
                return False
            self._room_bytes -= size_bytes
        self._waiting.append((time.time(), size_bytes, waiting))
        return True

    def take(self, count: int) -> list[Waiting]:
        """The oldest ``count`` events, or fewer; the same ones again until they are done."""
        while len(self._taken) < count and self._waiting:
            self._taken.append(self._waiting.popleft())
        return [waiting for _, _, waiting in self._taken]

    def done(self) -> None:
        """What was taken need not wait any longer."""
        with self._lock:
            self._room_bytes += sum(size_bytes for _, size_bytes, _ in self._taken)
        self._taken = []

    def count(self) -> int:
        """The events that wait."""
        return len(self._taken) + len(self._waiting)

    def oldest_at(self) -> dt.datetime | None:
        """Since when the oldest event waits."""
        for waiting in (self._taken, self._waiting):
            try:
                return dt.datetime.fromtimestamp(waiting[0][0], dt.UTC)
            except IndexError:  # none, or taken meanwhile
                continue
        return None

    def close(self) -> None:
        """Nothing to do."""


def _size_bytes(waiting: Waiting) -> int:
    if isinstance(waiting, Call):
        return EVENT_BYTES + sum([len(value) for value in waiting if value.__class__ is str])
    if isinstance(waiting, Event):
        texts = (waiting.slug, waiting.scene, waiting.environment, waiting.outfit, waiting.error_message)
        return EVENT_BYTES + sum(map(len, filter(None, texts)))
    return EVENT_BYTES + len(waiting.reason) + len(repr(waiting.payload))
