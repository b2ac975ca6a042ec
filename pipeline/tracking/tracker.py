"""Sends events to Postgres without ever raising an error in the app or blocking it."""

from __future__ import annotations

import atexit
import datetime as dt
import logging
import multiprocessing.util
import os
import sqlite3
import tempfile
import threading
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psycopg

from pipeline.database import sessions
from pipeline.environment import environment
from pipeline.tracking.batches import keep_rejected
from pipeline.tracking.buffer import Buffer
from pipeline.tracking.call import Call, Waiting, call_of, id_of, record_of, shown
from pipeline.tracking.connection import ImpatientConnection, address
from pipeline.tracking.direct import Inserter
from pipeline.tracking.event import (
    NO_PROBLEMS,
    Event,
    Record,
    is_absent,
    payload_of,
    read_event,
    read_post,
)
from pipeline.tracking.faults import Fault, fault_of
from pipeline.tracking.journal import Journal
from pipeline.tracking.writer import NOTED, SAY_EVERY_SECONDS, Writer

logger = logging.getLogger(__name__)

BUFFER_BYTES = 100 * 2**20
"""The most memory that waiting events take, which is enough for some 90,000 events."""

JOURNAL_BYTES = 10 * 2**30
"""The most disk space that a journal takes, which is enough for some 20 million events."""

DOWN_SECONDS = 5.0
"""The pause after a failed insert. During it, calls do not wait for the database."""

COMPLAIN_EVERY_SECONDS = 5.0

CALL_FIELDS = Call._fields[2:]
"""The arguments of a call, except the event's id and time."""

Id = uuid.UUID | str | int
"""The types of ids that an app may use."""


@dataclass(frozen=True)
class TrackerStats:
    """Counts of what happened to the events of a tracker.

    Without a journal, ``accepted`` is the sum of ``written``, ``rejected``, ``failed`` and ``waiting``, apart
    from calls in progress. Processes that share a journal write each other's events, and each process counts
    the events that it wrote.
    """

    accepted: int
    """Events that were passed to the tracker."""
    written: int
    """Events in ``prompt_usage``, including those of an earlier call with the same event id."""
    rejected: int
    """Events in ``prompt_usage_rejected``."""
    failed: int
    """Events that were lost, because there was no room or the tracker was closed."""
    waiting: int
    """Events that wait for the database: in memory, in the journal, or in the one that
    :meth:`PromptTracker.close` created."""
    mended: int
    """Written events with a detail that could not be used as given, and was corrected or left out."""
    oldest_waiting_at: dt.datetime | None
    """The time since which the oldest waiting event has been waiting."""


class PromptTracker:
    """Appends usage events. It never raises an error if an event can't be written, and never blocks for long.

    With ``mode="buffered"``, a call puts its event into memory and returns, and a thread sends batches. With
    ``mode="direct"``, a call takes one round trip to the database, or about two seconds in the worst case.
    Only events that fail wait for the thread.

    With ``journal_dir``, a waiting event is on disk before the call returns, and survives the process.
    Without it, a killed process loses its waiting events. Processes may share the folder, and the next
    process sends what the last one left. ``None`` means ``PROMPT_STATS_JOURNAL_DIR`` if ``database_url`` is
    None, too, and otherwise no journal.

    Create one tracker per process and share it between threads. You may create it before a fork: each process
    has its own thread and connection. When the interpreter exits, the tracker sends waiting events. If a
    signal ends the process without that, as SIGTERM does unless the app handles it, events that are not in a
    journal are lost.

    ``database_url`` is a URL of libpq or SQLAlchemy, or a connection string of libpq. None means
    ``DATABASE_URL``, or the embedded server if that is not set. The tracker opens nothing before the first
    event.

    :raises DatabaseError: ``database_url`` can't be read as an address.
    :raises SettingsError: it is None, and the environment has a value that can't be used.
    """

    def __init__(
        self,
        database_url: str | None = None,
        *,
        mode: Literal["buffered", "direct"] = "buffered",
        journal_dir: Path | str | None = None,
    ) -> None:
        if database_url is None and journal_dir is None:
            journal_dir = environment().journal_dir
        self._address, self._settings = address(database_url)
        self._is_direct = mode == "direct"
        self._journal_dir = Path(journal_dir) if journal_dir else None
        self._is_read_later = not self._is_direct and self._journal_dir is None
        # An app's own handler of a signal may run in the middle of a call of the same thread.
        self._lock = threading.RLock()
        self._begin()
        _trackers.add(self)

    def _begin(self) -> None:
        """Sets the state of a process that has not tracked anything yet."""
        self._counts = Counter[str]()
        self._buffer = Buffer(BUFFER_BYTES)
        self._journal: Journal | None = None
        self._writer: Writer | None = None
        self._inserter = Inserter(self._address, self._settings) if self._is_direct else None
        self._down_until = 0.0
        self._complain_from = 0.0
        self._note_again_from = 0.0
        self._is_closed = False

    def track_post_creation(
        self,
        *,
        post_id: Id | None = None,
        user_id: Id | None = None,
        character_id: Id | None = None,
        job_id: Id | None = None,
        prompt_id: Id | None = None,
        scene: str | None = None,
        environment: str | None = None,
        outfit: str | None = None,
        prompt: str | None = None,  # noqa: ARG002  # see the docstring
        negative_prompt: str | None = None,  # noqa: ARG002
        success: bool | None = None,
        generation_time_ms: float | None = None,
        error_message: str | None = None,
        event_id: Id | None = None,
        created_at: dt.datetime | None = None,
    ) -> uuid.UUID | str | None:
        """Tracks one use of a prompt, successful or not.

        Returns the event's id, or None if no prompt was used.

        Ids are those of the app: UUIDs, strings or numbers, which are stored as they are spelled.
        ``prompt_id`` is the prompt's id or its slug. ``success=None`` means that the outcome is unknown.
        ``generation_time_ms`` is in milliseconds, at most one day. A detail that can't be used is corrected
        or left out, and counted in ``stats().mended``. With an ``event_id`` you can repeat a call safely,
        because the same id counts once. Without it, every call is a new event. ``created_at`` is the time
        when the prompt was used, by default now. A time without a time zone is taken as UTC.

        ``prompt`` and ``negative_prompt`` are accepted because callers have them at hand. They are not
        stored, because ``posts`` has them.
        """
        if is_absent(prompt_id):
            return None
        values = (
            post_id,
            user_id,
            character_id,
            job_id,
            prompt_id,
            scene,
            environment,
            outfit,
            success,
            generation_time_ms,
            error_message,
        )
        return self._take(values, event_id, created_at)

    def track_from_post(
        self,
        post: object,
        *,
        success: bool | None = None,
        generation_time_ms: float | None = None,
        error_message: str | None = None,
        event_id: Id | None = None,
        created_at: dt.datetime | None = None,
    ) -> uuid.UUID | str | None:
        """Tracks the use of a prompt for a post, with the ids and the context of the post.

        The post is a mapping or an object with ``id``, ``prompt_id``, ``user_id`` and so on, or the same
        names in camelCase. The other arguments are those of :meth:`track_post_creation`. ``created_at`` is
        not taken from the post.
        """
        values, problems = read_post(post)
        if is_absent(values["prompt_id"]) and not problems:
            return None
        values |= {
            "success": success,
            "generation_time_ms": generation_time_ms,
            "error_message": error_message,
        }
        return self._take(tuple(map(values.get, CALL_FIELDS)), event_id, created_at, problems)

    def stats(self) -> TrackerStats:
        """Counts of what has happened to the events so far, without events in an unreadable journal."""
        waiting, oldest_at = 0, list[dt.datetime | None]()
        for store in self._stores():
            try:
                waiting += store.count()
                oldest_at.append(store.oldest_at())
            except sqlite3.Error as error:
                self._complain("The journal can't be read: %s", error)
        with self._lock:
            counts = dict(self._counts)
        return TrackerStats(
            accepted=counts.get("accepted", 0),
            written=counts.get("written", 0),
            rejected=counts.get("rejected", 0),
            failed=counts.get("failed", 0),
            waiting=waiting + counts.get("left", 0),
            mended=counts.get("mended", 0),
            oldest_waiting_at=min(filter(None, oldest_at), default=None),
        )

    def flush(self, timeout_seconds: float = 5.0) -> bool:
        """Waits until all waiting events are sent, for ``timeout_seconds`` at most. Returns whether they are.

        With a journal, this includes what another process left there.
        """
        if self._journal_dir is not None and not self._is_closed:
            self._open()
        return self._writer is None or self._writer.flush(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Writes waiting events for ``timeout_seconds`` at most, and closes the connections.

        Events that can't be written stay in the journal. Without a journal, events that the table does not
        accept go to ``prompt_usage_rejected``, and all others into a new journal, which the log names. If you
        do not call it, it is called at the end of the process.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        if self._writer is not None:
            self._writer.close(timeout_seconds)
        if self._inserter is not None:
            self._inserter.close()
        left = [record_of(each) for each in self._buffer.take(self._buffer.count())]
        if left and not self._is_handed_over(left):
            self._leave_behind(left)
        self._buffer.done()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _is_handed_over(self, left: Sequence[Record]) -> bool:
        """Whether ``prompt_usage_rejected`` has what ``prompt_usage`` does not take, whatever it is."""
        why = self._writer and self._writer.refusal
        if not why:
            return False
        reason = f"prompt_usage took no event when the tracker was closed: {why}"
        rejected = [each.rejected(reason) if isinstance(each, Event) else each for each in left]
        try:
            with self._connect() as connection, sessions.transaction(connection):
                keep_rejected(connection, rejected)
        except psycopg.Error:
            return False
        self._count("rejected", len(rejected))
        logger.error("%d prompt usage events were rejected: %s", len(rejected), reason)
        return True

    def _leave_behind(self, left: Sequence[Record]) -> None:
        """Leaves events in a journal of their own."""
        try:
            folder = tempfile.mkdtemp(prefix="prompt-usage-events-")
            with closing(Journal(Path(folder), JOURNAL_BYTES)) as journal:
                journal.add(*left)
        except (OSError, sqlite3.Error):
            for record in left:
                self._lose(record, "the tracker was closed before the database took it")
            return
        self._count("left", len(left))
        logger.error(
            "The tracker was closed before the database accepted %d prompt usage events. They are kept. To"
            " send them, run: prompt-stats send-journal %s",
            len(left),
            folder,
        )

    def _take(
        self,
        values: tuple[object, ...],
        event_id: Id | None,
        created_at: dt.datetime | None,
        problems: Mapping[str, str] = NO_PROBLEMS,
    ) -> uuid.UUID | str:
        """Takes what a call was given, to be read by the thread if that is the same later."""
        if self._is_read_later and event_id is None and created_at is None and not problems:
            call = call_of(values)
            if call is not None:
                return self._track(call)
        given = dict(zip(CALL_FIELDS, values, strict=True))
        return self._track(read_event({**given, "event_id": event_id, "created_at": created_at}, problems))

    def _track(self, waiting: Waiting) -> uuid.UUID | str:
        self._count("accepted", 1)
        try:
            if self._is_closed:
                self._leave(record_of(waiting))
            elif self._inserter is None or not self._insert(self._inserter, record_of(waiting)):
                self._keep(waiting)
        except Exception:
            # Whatever it is, ours or the disk's, it is none of the app's business.
            self._count("failed", 1)
            logger.exception("Prompt usage event %s is lost: %s", id_of(waiting), shown(waiting))
        return id_of(waiting)

    def _leave(self, record: Record) -> None:
        """After the end: the next process that uses the journal sends it."""
        if self._journal_dir is None:
            self._lose(record, "the tracker is closed")
            return
        with closing(Journal(self._journal_dir, JOURNAL_BYTES)) as self._journal:
            self._journal.add(record)

    def _insert(self, inserter: Inserter, record: Record) -> bool:
        """Whether the database has it."""
        if time.monotonic() < self._down_until:
            return False
        try:
            rejected, notes = inserter.insert(record)
        except Exception as error:
            self._down_until = time.monotonic() + DOWN_SECONDS
            if fault_of(error) is Fault.OUTAGE:
                logger.warning("Prompt usage event %s is waiting: %s", record.event_id, error)
            # Of anything else the thread says what to do, once a minute.
            return False
        self._count("rejected" if rejected else "written", 1)
        if notes:
            self._note(record, notes)
        if rejected:
            logger.warning("Prompt usage event %s was rejected: %s", rejected.event_id, rejected.reason)
        return True

    def _note(self, record: Record, notes: Sequence[str]) -> None:
        self._count("mended", 1)
        if time.monotonic() >= self._note_again_from:
            self._note_again_from = time.monotonic() + SAY_EVERY_SECONDS
            logger.warning(NOTED, 1, record.event_id, "; ".join(notes))

    def _keep(self, waiting: Waiting) -> None:
        if self._writer is None:
            self._open()
        if self._journal is not None and self._is_journaled(self._journal, record_of(waiting)):
            pass
        elif not self._buffer.add(waiting):
            self._count("failed", 1)
            self._complain("No room for prompt usage events: %d are lost so far", self._counts["failed"])
            return
        if self._writer is not None:
            self._writer.wake()

    def _is_journaled(self, journal: Journal, record: Record) -> bool:
        try:
            journal.add(record)
        except sqlite3.Error as error:
            self._complain("The journal can't be written, prompt usage events wait in memory: %s", error)
            return False
        return True

    def _complain(self, message: str, detail: object) -> None:
        if time.monotonic() >= self._complain_from:
            self._complain_from = time.monotonic() + COMPLAIN_EVERY_SECONDS
            logger.error(message, detail)

    def _open(self) -> None:
        with self._lock:
            if self._writer is not None:
                return
            if self._journal_dir is not None:
                try:
                    self._journal = Journal(self._journal_dir, JOURNAL_BYTES)
                except (OSError, sqlite3.Error) as error:
                    logger.error(  # what is wrong is in the text
                        "The journal in %s can't be used, so prompt usage events wait in memory: %s",
                        self._journal_dir,
                        error,
                    )
            self._writer = Writer(self._stores(), self._connect, self._count)
            # A process that multiprocessing made exits without atexit, and calls finalizers of its own.
            multiprocessing.util.Finalize(None, _close_all, exitpriority=0)

    def _stores(self) -> list[Journal | Buffer]:
        return [self._buffer] if self._journal is None else [self._journal, self._buffer]

    def _connect(self) -> ImpatientConnection:
        return sessions.connect(
            self._address(), self._settings, ImpatientConnection, autocommit=True, prepare_threshold=None
        )

    def _lose(self, record: Record, reason: str) -> None:
        self._count("failed", 1)
        logger.error("Prompt usage event %s is lost, %s: %s", record.event_id, reason, payload_of(record))

    def _count(self, name: str, events: int) -> None:
        with self._lock:
            self._counts[name] += events

    def _after_fork(self) -> None:
        """In the child: what waits is the parent's to write, and so are its connections and files."""
        _inherited.append((self._journal, self._writer, self._inserter))
        self._lock = threading.RLock()
        is_closed = self._is_closed
        self._begin()
        self._is_closed = is_closed


_trackers = weakref.WeakSet[PromptTracker]()

_inherited: list[object] = []
"""What a forked child must not close: it is shared with its parent."""


def _close_all() -> None:
    for tracker in list(_trackers):
        tracker.close()


def _after_fork() -> None:
    for tracker in list(_trackers):
        tracker._after_fork()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)
