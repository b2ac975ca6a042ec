"""The thread that sends waiting events to Postgres in batches, until each one is written or rejected."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import psycopg

from pipeline.tracking.batches import append_events, fault_on
from pipeline.tracking.bulk import append_calls
from pipeline.tracking.call import Call, Waiting, record_of
from pipeline.tracking.connection import ImpatientConnection
from pipeline.tracking.event import Record, payload_of
from pipeline.tracking.faults import Fault, fault_of, said_by

logger = logging.getLogger(__name__)

BATCH_EVENTS = 5_000
"""The largest batch. A batch of this size is sent without waiting for more events."""

BATCH_SECONDS = 0.2
"""How long the first event of a batch waits for others."""

RETRY_SECONDS = 5.0
"""The longest pause after a failure. The first is a tenth of it, and each is twice as long as the last."""

SAY_EVERY_SECONDS = 60.0
"""How often the same failure is logged."""

LOOK_EVERY_SECONDS = 5.0
"""How often a journal is checked for events that another process left there."""


NOTED = "%d prompt usage events were accepted with details corrected or left out, for example %s: %s"

FLUSH_LOOKS_SECONDS = 0.01


class Store(Protocol):
    """Where events wait."""

    def take(self, count: int) -> Sequence[Waiting]:
        """The oldest events; the same ones again until they are done."""

    def done(self) -> None:
        """What was taken need not wait any longer."""

    def count(self) -> int:
        """The events that wait."""

    def close(self) -> None:
        """Closes its files. Waiting events stay."""


class Signal:
    """A flag that one thread waits for and any other thread sets. Waiting for it resets it.

    A signal's handler that raises may interrupt :meth:`set` anywhere. ``threading.Event`` would keep its lock
    then, and whoever sets it next, at the end of the process, would wait for ever.
    """

    def __init__(self) -> None:
        self._unset = threading.Lock()
        self._unset.acquire()

    def set(self) -> None:
        """Once is enough."""
        if self._unset.locked():
            # Another thread may be as quick.
            with suppress(RuntimeError):
                self._unset.release()

    def wait(self, timeout_seconds: float) -> None:
        """Until it is set, for so long at most."""
        self._unset.acquire(timeout=timeout_seconds)


class Writer:
    """Starts with the first event. There is one per tracker and process."""

    def __init__(
        self,
        stores: Sequence[Store],
        connect: Callable[[], ImpatientConnection],
        count: Callable[[str, int], None],
    ) -> None:
        """``connect`` makes a connection. ``count`` is told what became of how many events."""
        self._stores = stores
        self._connect = connect
        self._count = count
        self._connection: ImpatientConnection | None = None
        self._wanted = Signal()
        self._full = Signal()
        self._ending = Signal()
        self._is_closing = False
        self._is_over = False
        self._added_count = 0
        self._pause_seconds = 0.0
        self._said = ""
        self._say_again_from = 0.0
        self._note_again_from = 0.0
        self.refusal: str | None = None
        """Why the table takes no event, if it is the table that is in the way."""
        self._thread = threading.Thread(target=self._run, name="prompt-stats-tracker", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Wakes the thread after an event was added."""
        # Not exact if threads meet here, and need not be.
        self._added_count += 1
        self._wanted.set()
        if self._added_count >= BATCH_EVENTS:
            self._full.set()

    def flush(self, timeout_seconds: float) -> bool:
        """Whether nothing waits any more, after ``timeout_seconds`` at most."""
        deadline = time.monotonic() + timeout_seconds
        while is_waiting := self._is_waiting():
            if time.monotonic() >= deadline:
                break
            self._full.set()
            self._wanted.set()
            time.sleep(FLUSH_LOOKS_SECONDS)
        return not is_waiting

    def _is_waiting(self) -> bool:
        try:
            return any(store.count() for store in self._stores)
        except sqlite3.Error:
            # A journal that can't be read: nobody knows what it holds.
            return True

    def close(self, timeout_seconds: float) -> None:
        """Writes what waits, for ``timeout_seconds`` at most."""
        self._is_closing = True
        for signal in (self._ending, self._full, self._wanted):
            signal.set()
        self._thread.join(timeout_seconds)
        self._is_over = True

    def _run(self) -> None:
        while True:
            self._wanted.wait(LOOK_EVERY_SECONDS)
            if not self._is_closing:
                self._full.wait(BATCH_SECONDS)
            self._added_count = 0
            is_closing = self._is_closing
            is_done = self._write_all()
            if self._is_over or (is_closing and (is_done or self.refusal)):
                break
            if not is_done:
                self._rest()
        self._disconnect()
        # Here, because nobody else knows when this thread is through with them.
        for store in self._stores:
            store.close()

    def _rest(self) -> None:
        """Waits before the next attempt: shorter if the tracker is being closed."""
        self._pause_seconds = min(max(self._pause_seconds * 2, RETRY_SECONDS / 10), RETRY_SECONDS)
        if self._is_closing:
            time.sleep(RETRY_SECONDS / 50)
        else:
            self._ending.wait(self._pause_seconds)
        self._wanted.set()

    def _write_all(self) -> bool:
        """Whether all that waited is written."""
        damaged: sqlite3.Error | None = None
        try:
            for store in self._stores:
                try:
                    self._write_store(store)
                except sqlite3.Error as error:
                    # A journal that can't be read holds up nothing that waits elsewhere.
                    damaged = error
            if damaged:
                raise damaged
        except Exception as error:
            # Whatever it is, the events still wait.
            is_refused = isinstance(error, psycopg.Error) and self._fault(error) is Fault.TABLE
            self.refusal = said_by(error) if is_refused else None
            if not self._is_over:
                self._say(error)
            self._disconnect()
            return False
        self._said, self.refusal = "", None
        return True

    def _write_store(self, store: Store) -> None:
        while not self._is_over and (waiting := store.take(BATCH_EVENTS)):
            self._write_batch(waiting)
            store.done()
            self._pause_seconds = 0.0

    def _say(self, error: Exception) -> None:
        """Logs what is in the way: a line for the database or a damaged journal, else all of it."""
        said = said_by(error)
        if said == self._said and time.monotonic() < self._say_again_from:
            return
        self._said, self._say_again_from = said, time.monotonic() + SAY_EVERY_SECONDS
        if self.refusal:
            logger.error(
                "Prompt usage events are waiting, because prompt_usage accepts none: %s. Run prompt-stats"
                " doctor to see what to fix. The events are sent again every few seconds",
                said,
            )
            return
        is_expected = isinstance(error, psycopg.Error | sqlite3.Error)
        logger.warning("Prompt usage events are waiting: %s", error, exc_info=not is_expected)

    def _note(self, records: Sequence[Record], notes: dict[int, tuple[str, ...]]) -> None:
        """Logs what was mended or left out, of one event."""
        if notes and time.monotonic() >= self._note_again_from:
            self._note_again_from = time.monotonic() + SAY_EVERY_SECONDS
            place, said = next(iter(notes.items()))
            logger.warning(NOTED, len(notes), records[place].event_id, "; ".join(said))

    def _write_batch(self, waiting: Sequence[Waiting]) -> None:
        calls = [each for each in waiting if isinstance(each, Call)]
        if len(calls) == len(waiting) and append_calls(self._connected(), calls):
            self._count("written", len(calls))
        else:
            self._write([record_of(each) for each in waiting])

    def _write(self, records: Sequence[Record]) -> None:
        connection = self._connected()
        try:
            appended = append_events(connection, records)
        except psycopg.Error as error:
            if self._fault(error) is not Fault.EVENT:
                raise
            self._write_what_is_taken(records, error)
            return
        rejected_count = len(appended.rejected)
        self._count("rejected", rejected_count)
        self._count("written", len(records) - rejected_count)
        self._count("mended", len(appended.notes))
        self._note(records, appended.notes)
        if rejected_count:
            logger.warning("%d prompt usage events were rejected: see prompt_usage_rejected", rejected_count)

    def _connected(self) -> ImpatientConnection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _fault(self, error: Exception) -> Fault:
        return fault_of(error) if self._connection is None else fault_on(self._connection, error)

    def _write_what_is_taken(self, records: Sequence[Record], error: psycopg.Error) -> None:
        """One at a time, since there is one that can be kept nowhere."""
        if len(records) > 1:
            for record in records:
                self._write([record])
            return
        self._count("failed", 1)
        [record] = records
        logger.error("Prompt usage event %s is lost, %s: %s", record.event_id, error, payload_of(record))

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
