"""Connections to the database that an answer waits for ``ANSWER_SECONDS`` at most.

The time is that of all: waiting for a free connection, and every statement on it. It is measured on this
side: a server that hangs keeps to no timeout of its own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pipeline.limits import ANSWER_SECONDS
from pipeline.tracking.connection import ImpatientConnection

READERS = 8
WRITERS = 4
INTERVAL_SECONDS = 0.1
"""As psycopg looks whether it was interrupted."""


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


def readers(conninfo: str) -> Readers:
    """A pool, to be opened."""
    return AsyncConnectionPool(
        conninfo,
        connection_class=ReadingConnection,
        kwargs={"row_factory": dict_row},
        configure=_configure,
        min_size=1,
        max_size=READERS,
        open=False,
        name="stats",
    )


def writers(conninfo: str) -> Writers:
    """A pool, to be opened."""
    return ConnectionPool(
        conninfo,
        connection_class=WritingConnection,
        kwargs={"autocommit": True, "prepare_threshold": None},
        min_size=1,
        max_size=WRITERS,
        open=False,
        name="events",
    )


@asynccontextmanager
async def reading(pool: Readers) -> AsyncIterator[ReadingConnection]:
    """A connection for the block, which has ``ANSWER_SECONDS`` from here on.

    :raises psycopg.Error: none is free, or the database does not answer, in time.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    async with pool.connection(ANSWER_SECONDS) as connection:
        connection.deadline = deadline
        try:
            yield connection
        finally:
            connection.deadline = None


@contextmanager
def writing(pool: Writers) -> Iterator[WritingConnection]:
    """The same for a connection that writes."""
    deadline = time.monotonic() + ANSWER_SECONDS
    with pool.connection(ANSWER_SECONDS) as connection:
        connection.deadline = deadline
        try:
            yield connection
        finally:
            connection.deadline = None


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


async def _configure(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)
    await connection.execute("SET default_transaction_read_only = on")
    await connection.execute("SET default_transaction_isolation = 'repeatable read'")
    await connection.execute(f"SET statement_timeout = '{ANSWER_SECONDS}s'")
