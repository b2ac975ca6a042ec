"""Connections to the database that an answer waits for ``ANSWER_SECONDS`` at most.

The time is that of all: waiting for a free connection, and every statement on it. It is measured on this
side: a server that hangs keeps to no timeout of its own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import psycopg
from fastapi.concurrency import run_in_threadpool
from psycopg import AsyncConnection, IsolationLevel
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pipeline.database import sessions
from pipeline.limits import ANSWER_SECONDS
from pipeline.names import TableNames
from pipeline.tracking.connection import ImpatientConnection
from pipeline.web.api.values import adapt, answer_row

READERS = 8
WRITERS = 4
INTERVAL_SECONDS = 0.1
"""As psycopg looks whether it was interrupted."""

READING = {
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
    "statement_timeout": f"{ANSWER_SECONDS:g}s",
}
"""Settings of sessions that only read."""

Result = TypeVar("Result")


class ReadingConnection(AsyncConnection[DictRow]):
    """Only reads, and gives up at its deadline."""

    deadline: float | None = None

    async def wait(
        self, gen: PQGen[RV], interval: float = INTERVAL_SECONDS, timeout: float | None = None
    ) -> RV:
        """As psycopg's, with a limit."""
        try:
            return await super().wait(gen, interval, _left(self.deadline) if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # The server gives up by itself, if it can: see the statement_timeout.
                await self.close()
            raise


class WritingConnection(ImpatientConnection):
    """Gives up at its deadline, and has the server do so."""

    deadline: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = INTERVAL_SECONDS, timeout: float | None = None) -> RV:
        """As that of any connection that gives up, with the time that is left."""
        return super().wait(gen, interval, _left(self.deadline) if timeout is None else timeout)


Readers = AsyncConnectionPool[ReadingConnection]
Writers = ConnectionPool[WritingConnection]


def readers(conninfo: str, names: TableNames) -> Readers:
    """A pool, to be opened."""
    return AsyncConnectionPool(
        conninfo,
        connection_class=ReadingConnection,
        kwargs={"row_factory": answer_row},
        configure=partial(_configure, settings=sessions.settings_for(names, READING)),
        min_size=1,
        max_size=READERS,
        open=False,
        name="stats",
    )


def writers(conninfo: str, names: TableNames) -> Writers:
    """A pool, to be opened."""
    return ConnectionPool(
        conninfo,
        connection_class=WritingConnection,
        kwargs={"autocommit": True, "prepare_threshold": None},
        configure=partial(sessions.configure, settings=sessions.settings_for(names)),
        min_size=1,
        max_size=WRITERS,
        open=False,
        name="events",
    )


async def read(pool: Readers, run: Callable[[ReadingConnection], Awaitable[Result]]) -> Result:
    """Runs something on a connection, and once more on a fresh one if the connection was dead.

    Both together have ``ANSWER_SECONDS``.

    :raises psycopg.Error: no connection is free, or the database does not answer, in time.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    connection: ReadingConnection | None = None
    try:
        async with _reading(pool, deadline) as connection:
            return await run(connection)
    except psycopg.Error:
        if connection is None or not connection.broken:
            raise
    # As in sessions.run_on.
    await pool.drain()
    async with _reading(pool, deadline) as connection:
        return await run(connection)


def write(pool: Writers, run: Callable[[WritingConnection], Result]) -> Result:
    """The same for something that writes, and may be repeated without harm (:func:`sessions.run_on`)."""
    deadline = time.monotonic() + ANSWER_SECONDS
    return sessions.run_on(pool, run, partial(_writing, pool, deadline))


async def change(pool: Writers, work: Callable[[WritingConnection], None]) -> None:
    """Does some work in a transaction, in a thread; what it leaves is the same however often it is done.

    :raises psycopg.Error: as :func:`read`.
    """

    def run(connection: WritingConnection) -> None:
        with sessions.transaction(connection):
            work(connection)

    await run_in_threadpool(write, pool, run)


@asynccontextmanager
async def _reading(pool: Readers, deadline: float) -> AsyncIterator[ReadingConnection]:
    async with pool.connection(_left(deadline)) as connection:
        connection.deadline = deadline
        try:
            yield connection
        finally:
            connection.deadline = None


@contextmanager
def _writing(pool: Writers, deadline: float) -> Iterator[WritingConnection]:
    with pool.connection(_left(deadline)) as connection:
        connection.deadline = deadline
        try:
            yield connection
        finally:
            connection.deadline = None


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


async def _configure(connection: AsyncConnection[Any], settings: sessions.Settings) -> None:
    adapt(connection.adapters)
    await sessions.configure_async(connection, settings)
    # Of transactions that are begun: behind a pooler no session can be relied on.
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)
