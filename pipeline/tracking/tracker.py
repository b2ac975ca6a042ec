"""Hands events to Postgres without ever failing or holding up the app that hands them over."""

from __future__ import annotations

import atexit
import datetime as dt
import logging
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from pipeline.conninfo import libpq_conninfo
from pipeline.queries import query
from pipeline.tracking.event import Event, RejectedEvent, is_absent, read_event, read_post

logger = logging.getLogger(__name__)

INSERT_EVENT = query("postgres/insert_prompt_usage")
INSERT_EVENT_BY_SLUG = query("postgres/insert_prompt_usage_by_slug")
INSERT_REJECTED = query("postgres/insert_prompt_usage_rejected")

APPLICATION_NAME = "prompt-stats-tracker"

CONNECT_SECONDS = 0.5
"""Longest wait for a connection; one that takes longer is made in the background, for the next event."""

STATEMENT_SECONDS = 1.0
"""Longest wait for a statement."""

RETRY_SECONDS = 5.0
"""Pause after a failure, in which a dead database costs no call anything."""

CATCH_UP_SECONDS = 0.5
"""Longest time that one call spends on events which waited."""

WAITING_MAX = 10_000
"""Events that wait in memory at most."""

# Connection lost, read-only standby, rolled back, out of resources, locked, shut down, disk trouble: the
# event is not at fault.
_OUTAGE_CLASSES = frozenset({"08", "25", "40", "53", "55", "57", "58"})


@dataclass(frozen=True)
class TrackerStats:
    """What became of the events handed to a tracker, as counts.

    ``accepted`` is the sum of the others, calls in progress aside.
    """

    accepted: int
    """Events handed over."""
    written: int
    """In ``prompt_usage``, be it from an earlier call with the same event id."""
    rejected: int
    """In ``prompt_usage_rejected``."""
    failed: int
    """Lost, but for their text in the log."""
    waiting: int
    """Waiting in memory for the database."""


class PromptTracker:
    """Appends usage events; never raises for one that can't be written.

    It logs and keeps the event instead: in ``prompt_usage_rejected`` if its values are wrong, in memory if
    the database can't be reached, until a later call or :meth:`close` can write it. A call takes one
    round trip to the database, and about two seconds at worst.

    Make one for a process and share it between threads; in a server that forks, use it only after the
    fork. It blocks: in asyncio, call it through ``asyncio.to_thread``.

    ``database_url`` is any libpq or SQLAlchemy form; None means ``DATABASE_URL``, else the embedded server.
    Nothing is opened before the first event.

    :raises DatabaseError: ``database_url`` can't be read as an address.
    :raises SettingsError: it is None, and the environment has a value that can't be used.
    """

    def __init__(self, database_url: str | None = None) -> None:
        self._pool = ConnectionPool(
            _conninfo(database_url),
            connection_class=_ImpatientConnection,
            # Prepared statements fail behind poolers that change the server connection between them.
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=1,
            max_size=4,
            open=False,
            name="prompt-tracker",
            timeout=CONNECT_SECONDS,
            # The pool's own attempts back off up to minutes; past this, the next event starts new ones.
            reconnect_timeout=RETRY_SECONDS,
        )
        self._lock = threading.Lock()
        self._waiting: deque[Event | RejectedEvent] = deque()
        self._counts = Counter[str]()
        self._catching_up = threading.Lock()
        self._down_until = 0.0
        self._catch_up_from = 0.0
        self._is_closed = False

    def track_post_creation(
        self,
        *,
        post_id: uuid.UUID | str | None = None,
        user_id: uuid.UUID | str | None = None,
        character_id: uuid.UUID | str | None = None,
        job_id: uuid.UUID | str | None = None,
        prompt_id: uuid.UUID | str | None = None,
        scene: str | None = None,
        environment: str | None = None,
        outfit: str | None = None,
        prompt: str | None = None,  # noqa: ARG002  # see the docstring
        negative_prompt: str | None = None,  # noqa: ARG002
        success: bool | None = None,
        generation_time_ms: int | None = None,
        error_message: str | None = None,
        event_id: uuid.UUID | str | None = None,
        created_at: dt.datetime | None = None,
    ) -> uuid.UUID | None:
        """Tracks one use of a prompt, successful or not; the event's id, or None if no prompt was used.

        ``prompt_id`` is the prompt's UUID or its slug. ``success`` None is neither success nor failure.
        ``generation_time_ms`` is in milliseconds, a day at most. ``event_id`` makes a call safe to repeat:
        the same id counts once; without it every call is a new event. ``created_at`` is when the prompt
        was used, by default now; without a time zone it is taken as UTC.

        ``prompt`` and ``negative_prompt`` are accepted because callers have them at hand, and not stored:
        ``posts`` has them.
        """
        values = {
            "post_id": post_id,
            "user_id": user_id,
            "character_id": character_id,
            "job_id": job_id,
            "prompt_id": prompt_id,
            "scene": scene,
            "environment": environment,
            "outfit": outfit,
            "success": success,
            "generation_time_ms": generation_time_ms,
            "error_message": error_message,
            "event_id": event_id,
            "created_at": created_at,
        }
        return None if is_absent(prompt_id) else self._track(read_event(values))

    def track_from_post(
        self,
        post: object,
        *,
        success: bool | None = None,
        generation_time_ms: int | None = None,
        error_message: str | None = None,
        event_id: uuid.UUID | str | None = None,
        created_at: dt.datetime | None = None,
    ) -> uuid.UUID | None:
        """Tracks the use of a prompt for a post: the ids and the context are the post's.

        The post is a mapping or an object with ``id``, ``prompt_id``, ``user_id`` and so on, or the same in
        camelCase. The rest is as in :meth:`track_post_creation`; ``created_at`` is not the post's.
        """
        values, problems = read_post(post)
        if is_absent(values["prompt_id"]) and not problems:
            return None
        values |= {
            "success": success,
            "generation_time_ms": generation_time_ms,
            "error_message": error_message,
            "event_id": event_id,
            "created_at": created_at,
        }
        return self._track(read_event(values, problems))

    def stats(self) -> TrackerStats:
        """What became of the events so far."""
        with self._lock:
            return TrackerStats(
                accepted=self._counts["accepted"],
                written=self._counts["written"],
                rejected=self._counts["rejected"],
                failed=self._counts["failed"],
                waiting=len(self._waiting),
            )

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Writes the events that wait, for ``timeout_seconds`` at most, and closes the connections.

        What can't be written goes into the log. Called at the end of the process if nobody has before.
        """
        deadline = time.monotonic() + timeout_seconds
        while self._waiting and time.monotonic() < deadline:
            self._catch_up_from = 0.0
            self._catch_up(deadline)
            if self._waiting:
                time.sleep(0.1)
        with self._catching_up, self._lock:
            self._is_closed = True
            lost = list(self._waiting)
            self._waiting.clear()
        for record in lost:
            self._lose(record, "the tracker was closed before the database took it")
        self._pool.close(timeout=1.0)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _track(self, record: Event | RejectedEvent) -> uuid.UUID:
        self._count("accepted")
        if self._is_closed or time.monotonic() < self._down_until:
            self._keep(record, None)
            return record.event_id
        try:
            self._store(record)
        except Exception as error:
            # Whatever it is, ours or the database's, it is none of the app's business.
            self._keep(record, error)
        else:
            self._catch_up(time.monotonic() + CATCH_UP_SECONDS)
        return record.event_id

    def _store(self, record: Event | RejectedEvent) -> None:
        """Writes a record where it belongs; an event that the database refuses becomes a rejected one."""
        rejected = self._append(record) if isinstance(record, Event) else record
        if rejected is None:
            self._count("written")
            return
        self._execute(INSERT_REJECTED, {"reason": rejected.reason, "payload": Jsonb(rejected.payload)})
        self._count("rejected")
        logger.warning("Prompt usage event %s was rejected: %s", rejected.event_id, rejected.reason)

    def _append(self, event: Event) -> RejectedEvent | None:
        is_by_slug = isinstance(event.prompt_id, str)
        try:
            row = self._execute(INSERT_EVENT_BY_SLUG if is_by_slug else INSERT_EVENT, asdict(event))
        except psycopg.Error as error:
            if _is_outage(error):
                raise
            return event.rejected(f"the database refused it: {error.diag.message_primary or error}")
        if row is not None and not row[0]:
            return event.rejected(f"no prompt has the slug {event.prompt_id!r}")
        return None

    def _execute(self, statement: str, parameters: Mapping[str, object]) -> TupleRow | None:
        """Runs one statement in a transaction of its own; its first row, if it returns rows."""
        self._open()
        connection: _ImpatientConnection | None = None
        try:
            with self._pool.connection() as connection:
                return _run(connection, statement, parameters)
        except psycopg.OperationalError:
            if connection is None or not connection.broken:
                raise
        # The server was restarted: the pool's other connections are as dead. Event ids make it safe to
        # repeat a statement whose answer was lost.
        self._pool.drain()
        with self._pool.connection() as connection:
            return _run(connection, statement, parameters)

    def _open(self) -> None:
        if self._pool.closed:
            self._pool.open()
            atexit.register(self.close)

    def _catch_up(self, deadline: float) -> None:
        """Writes what waits, in order, until a failure or ``deadline`` on the monotonic clock."""
        if time.monotonic() < self._catch_up_from or not self._catching_up.acquire(blocking=False):
            return
        try:
            for _ in range(len(self._waiting)):
                if time.monotonic() >= deadline:
                    return
                try:
                    self._store(self._waiting[0])
                except Exception as error:
                    self._catch_up_from = time.monotonic() + RETRY_SECONDS
                    if _is_outage(error):
                        self._down_until = self._catch_up_from
                        return
                    # It was logged when it was kept. The others must not wait behind it for ever.
                    with self._lock:
                        self._waiting.rotate(-1)
                else:
                    with self._lock:
                        self._waiting.popleft()
        finally:
            self._catching_up.release()

    def _keep(self, record: Event | RejectedEvent, error: Exception | None) -> None:
        is_bug = error is not None and not _is_outage(error)
        if error is not None and not is_bug:
            self._down_until = time.monotonic() + RETRY_SECONDS
        with self._lock:
            is_closed = self._is_closed
            is_full = len(self._waiting) >= WAITING_MAX
            if not is_closed and not is_full:
                self._waiting.append(record.dated() if isinstance(record, Event) else record)
        if is_closed or is_full:
            self._lose(record, "the tracker is closed" if is_closed else f"{WAITING_MAX:,} others wait")
            return
        why = error or f"the database was out of reach less than {RETRY_SECONDS:g} s ago"
        message = "Prompt usage event %s waits in memory: %s"
        if is_bug:
            logger.error(message, record.event_id, why, exc_info=error)
        else:
            logger.warning(message, record.event_id, why)

    def _lose(self, record: Event | RejectedEvent, reason: str) -> None:
        self._count("failed")
        rejected = record.rejected(reason) if isinstance(record, Event) else record
        logger.error("Prompt usage event %s is lost, %s: %s", record.event_id, reason, rejected.payload)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1


class _ImpatientConnection(psycopg.Connection[TupleRow]):
    """Gives a statement up after ``STATEMENT_SECONDS``: a lock or a stalled server must not hold the app.

    On this side, because a timeout set in a session outlives it behind a pooler, and falls on others.
    """

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = STATEMENT_SECONDS) -> RV:
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # Given up: nothing must go on waiting for a lock in the server.
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CONNECT_SECONDS)
                self.close()
            raise


def _run(
    connection: _ImpatientConnection, statement: str, parameters: Mapping[str, object]
) -> TupleRow | None:
    cursor = connection.execute(statement, parameters)
    return cursor.fetchone() if cursor.description else None


def _is_outage(error: Exception) -> bool:
    """Whether the same statement may succeed later: the database is at fault, not the event."""
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return error.sqlstate[:2] in _OUTAGE_CLASSES
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def _conninfo(database_url: str | None) -> str | Callable[[], str]:
    """The address, or what finds it: the embedded server is started by the pool's threads, not by a call."""
    # Imported here: an app that names its database needs neither.
    if database_url is None:
        from pipeline.settings import settings

        database_url = settings().database_url
    if database_url is not None:
        return libpq_conninfo(database_url, APPLICATION_NAME)

    from pipeline.embedded import client

    home = settings().home
    return lambda: libpq_conninfo(client.start(home), APPLICATION_NAME)
