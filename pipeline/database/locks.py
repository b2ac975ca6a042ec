"""Advisory locks of an installation: processes that write the lake or publish take turns, wherever they run.

Another installation in the same database has its own locks. A wait has a limit, and names the session that it
waits for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import IntEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from pipeline.database.queries import query
from pipeline.errors import DatabaseUnavailableError, TableLockedError

LOCK_SPACE = 0x70537461

LONGEST_WAIT_SECONDS = 300.0
"""As long as the schedule's interval; a step of Dagster tries again three times."""

ATTEMPT_SECONDS = 5.0
"""After it the wait is logged and begins anew. While one waits its snapshot is held, and ``CREATE INDEX
CONCURRENTLY`` in the session of another ``migrate`` waits for that to go."""

INSTALLATION = text(query("database/installation"))
LOCK_HOLDERS = text(query("database/lock_holders"))
SET_LOCK_TIMEOUT = text(query("database/set_lock_timeout"))

logger = logging.getLogger(__name__)


class Lock(IntEnum):
    """What is locked: with ``LOCK_SPACE`` the first half of the key, the second is the installation's."""

    LAKE = 1
    """Held while the lake is written."""
    PUBLISH = 2
    """Held by the transaction that publishes."""
    SCHEMA = 3
    """Held while migrations run."""
    VALUES = 4
    """Held while the stats by value are counted and published."""
    ALERTS = 5
    """Held while alerts are evaluated and messages are sent."""
    STATS = 6
    """Held while the stats are computed and published: taken before ``PUBLISH`` and before ``LAKE``."""


class _Key(NamedTuple):
    """Two ``integer``; ``installation`` has the bits of an oid, which has no sign."""

    lock: int
    installation: int


@contextmanager
def locked(
    connection: Connection, lock: Lock, longest_seconds: float = LONGEST_WAIT_SECONDS
) -> Iterator[None]:
    """Waits for a lock, and holds it for the block. ``connection`` is used for nothing else meanwhile.

    It spares concurrent runs useless work. What is correct does not rest on it: a lost connection
    loses the lock, and the lake's optimistic commits and the publish transaction still hold.

    :raises DatabaseUnavailableError: another session still holds it after ``longest_seconds``.
    """
    with connection.begin():
        key = _key(connection, lock)
    _wait(connection, connection.begin, "pg_advisory_lock", lock, key, longest_seconds)
    try:
        yield
    finally:
        # The connection goes back to a pool, and a session's lock would go with it.
        if not connection.closed and not connection.invalidated:
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_unlock(:lock, :installation)"), key._asdict())


def lock_transaction(
    connection: Connection, lock: Lock, longest_seconds: float = LONGEST_WAIT_SECONDS
) -> None:
    """Takes a lock that the connection's transaction holds to its end; waits for it.

    :raises DatabaseUnavailableError: another session still holds it after ``longest_seconds``.
    """
    key = _key(connection, lock)
    _wait(connection, connection.begin_nested, "pg_advisory_xact_lock", lock, key, longest_seconds)


def _key(connection: Connection, lock: Lock) -> _Key:
    return _Key(LOCK_SPACE + lock, connection.execute(INSTALLATION).scalar_one())


def _wait(
    connection: Connection,
    begin: Callable[[], AbstractContextManager[object]],
    function: str,
    lock: Lock,
    key: _Key,
    longest_seconds: float,
) -> None:
    """Calls the function that locks in transactions, or parts of one, until one has the lock."""
    take = text(f"SELECT {function}(:lock, :installation)")  # one of two names
    until = time.monotonic() + longest_seconds
    is_told = False
    while True:
        left = max(until - time.monotonic(), 0.001)
        with suppress(TableLockedError):
            with waiting(connection, f"{min(left, ATTEMPT_SECONDS) * 1000:.0f}ms", begin):
                connection.execute(take, key._asdict())
            return
        is_over = time.monotonic() >= until
        if is_over or not is_told:
            with begin():
                connection.execute(text("SELECT pg_stat_clear_snapshot()"))
                holders = connection.execute(LOCK_HOLDERS, key._asdict()).all()
            by = " and ".join(map(said, holders)) or "a session that has just ended"
        if is_over:
            raise DatabaseUnavailableError(
                f"Waiting for the lock {lock.name.lower()}",
                f"after {longest_seconds:.0f} s it is still held by {by}",
                "Run the command again when that has ended; if it hangs, "
                + ending({each.pid for each in holders}),
            )
        if not is_told:
            logger.warning("Waiting for the lock %s, which is held by %s", lock.name.lower(), by)
            is_told = True


@contextmanager
def waiting(
    connection: Connection,
    longest: str,
    begin: Callable[[], AbstractContextManager[object]] | None = None,
) -> Iterator[None]:
    """A part of the transaction that waits for locks no longer than that, as ``2s``; or what ``begin`` opens.

    :raises TableLockedError: a lock was not free in time; what the block did is undone.
    """
    with (begin or connection.begin_nested)():
        before = _set_timeout(connection, longest)
        yield
        _set_timeout(connection, before)


def _set_timeout(connection: Connection, value: str) -> str:
    """Sets how long statements of the transaction wait for a lock; returns what was set before."""
    before: str = connection.execute(SET_LOCK_TIMEOUT, {"value": value}).scalar_one()
    return before


def ending(pids: Collection[int]) -> str:
    """How to end what is in the way: one of these, of which only that one is to be ended."""
    if len(pids) == 1:
        return f"end it: SELECT pg_terminate_backend({min(pids)})"
    return (
        "end the one that is in the way, as pg_blocking_pids says of the session that waits: SELECT"
        " pg_terminate_backend(its pid)"
    )


def said(holder: Any) -> str:
    """A session in words. What a role may not see of another's is NULL."""
    since = (
        f"since {holder.since:%Y-%m-%d %H:%M:%S %Z}"
        if holder.since
        else "for a time that this role can't see"
    )
    of = f"{holder.application_name or 'unnamed'!r} of {holder.role}"
    return f"pid {holder.pid} ({of}, connected from {holder.client or 'this machine'}) {since}"
