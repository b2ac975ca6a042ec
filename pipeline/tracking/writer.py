"""The thread that sends waiting events to Postgres, a batch at a time, until each is there or refused."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import psycopg

from pipeline.tracking.batches import append_events
from pipeline.tracking.calls import calls
from pipeline.tracking.connection import ImpatientConnection, is_outage
from pipeline.tracking.event import Record, payload_of

logger = logging.getLogger(__name__)

BATCH_EVENTS = 5_000
"""Events sent at once at most, and the number that is sent without waiting for more."""

BATCH_SECONDS = 0.2
"""How long the first event of a batch waits for others."""

RETRY_SECONDS = 5.0
"""Longest pause after a failure; the first is a tenth, and each one twice as long as the last."""

SAY_EVERY_SECONDS = 60.0
"""How often the same failure is logged."""

LOOK_EVERY_SECONDS = 5.0
"""How often a journal is looked at for what another process left there."""


FLUSH_LOOKS_SECONDS = 0.01


class Store(Protocol):
    """Where events wait."""

    def take(self, count: int) -> list[Record]:
        """The oldest events; the same ones again until they are done."""

    def done(self) -> None:
        """What was taken need not wait any longer."""

    def count(self) -> int:
        """The events that wait."""


class Writer:
    """Starts with the first event; one a tracker and process."""

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
        self._wanted = threading.Event()
        self._full = threading.Event()
        self._closing = threading.Event()
        self._is_over = False
        self._added_count = 0
        self._pause_seconds = 0.0
        self._said = ""
        self._say_again_from = 0.0
        self._thread = threading.Thread(target=self._run, name="prompt-stats-tracker", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Says that an event was added."""
        # Not exact if threads meet here, and need not be.
        self._added_count += 1
        if not self._wanted.is_set():
            self._wanted.set()
        if self._added_count >= BATCH_EVENTS and not self._full.is_set():
            self._full.set()

    def flush(self, timeout_seconds: float) -> bool:
        """Whether nothing waits any more, after ``timeout_seconds`` at most."""
        deadline = time.monotonic() + timeout_seconds
        while is_waiting := self._is_waiting():
            if time.monotonic() >= deadline:
                break
            with calls:
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
        self._closing.set()
        self._full.set()
        self._wanted.set()
        self._thread.join(timeout_seconds)
        self._is_over = True

    def _run(self) -> None:
        while True:
            self._wanted.wait(LOOK_EVERY_SECONDS)
            self._wanted.clear()
            if not self._closing.is_set():
                self._full.wait(BATCH_SECONDS)
            self._full.clear()
            self._added_count = 0
            is_closing = self._closing.is_set()
            is_done = self._write_all()
            if self._is_over or (is_closing and is_done):
                break
            if not is_done:
                self._rest()
        self._disconnect()

    def _rest(self) -> None:
        """Waits before the next attempt: shorter if the tracker is being closed."""
        self._pause_seconds = min(max(self._pause_seconds * 2, RETRY_SECONDS / 10), RETRY_SECONDS)
        if self._closing.is_set():
            time.sleep(RETRY_SECONDS / 50)
        else:
            self._closing.wait(self._pause_seconds)
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
            if not self._is_over:
                self._say(error)
            self._disconnect()
            return False
        self._said = ""
        return True

    def _write_store(self, store: Store) -> None:
        while not self._is_over and (records := store.take(BATCH_EVENTS)):
            self._write(records)
            store.done()
            self._pause_seconds = 0.0

    def _say(self, error: Exception) -> None:
        """Logs what is in the way: of an outage or a damaged journal a line, of anything else all of it."""
        if str(error) == self._said and time.monotonic() < self._say_again_from:
            return
        self._said, self._say_again_from = str(error), time.monotonic() + SAY_EVERY_SECONDS
        is_outage_of_database = isinstance(error, psycopg.Error) and is_outage(error)
        is_expected = is_outage_of_database or isinstance(error, sqlite3.Error)
        logger.warning("Prompt usage events wait: %s", error, exc_info=not is_expected)

    def _write(self, records: Sequence[Record]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        try:
            rejected_count = len(append_events(self._connection, records))
        except psycopg.Error as error:
            if is_outage(error):
                raise
            self._write_what_is_taken(records, error)
            return
        self._count("rejected", rejected_count)
        self._count("written", len(records) - rejected_count)
        if rejected_count:
            logger.warning("%d prompt usage events were rejected: see prompt_usage_rejected", rejected_count)

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
