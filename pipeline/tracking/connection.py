"""Connections that give up in time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from pipeline.database.conninfo import libpq_conninfo, names_in
from pipeline.database.sessions import Settings, settings_for
from pipeline.environment import environment
from pipeline.errors import SettingsError
from pipeline.names import DEFAULT_NAMES

APPLICATION_NAME = "prompt-stats-tracker"

CANCEL_SECONDS = 0.5
"""The longest wait for the server to cancel a statement."""


class ImpatientConnection(psycopg.Connection[TupleRow]):
    """Gives a statement up after ``statement_seconds``: a lock or a stalled server must not hold a thread.

    On this side, because a timeout set in a session outlives it behind a pooler, and falls on others.
    """

    statement_seconds: ClassVar[float] = 30.0

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """As psycopg's, with a limit."""
        try:
            return super().wait(gen, interval, self.statement_seconds if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # Given up: nothing must go on waiting for a lock in the server.
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_SECONDS)
                self.close()
            raise


def address(database_url: str | None) -> tuple[Callable[[], str], Settings]:
    """A function that returns the database's address, and the settings of sessions there.

    The first call that needs the address starts the embedded server.

    :raises DatabaseError: ``database_url`` can't be read as an address.
    :raises SettingsError: it is None, and the environment has a value that can't be used.
    """
    names = DEFAULT_NAMES
    if database_url is None:
        found = environment()
        if found.database_url is None:
            return _embedded(found.home), settings_for()
        database_url, names = found.database_url, found.tables
    conninfo = libpq_conninfo(database_url, APPLICATION_NAME)
    return lambda: conninfo, settings_for(names_in(database_url, names))


def _embedded(home: Path) -> Callable[[], str]:
    # Imported here: only the whole installation has a server of its own.
    try:
        from pipeline.database.embedded import client
    except ModuleNotFoundError as error:
        raise SettingsError(
            "Finding the database",
            f"DATABASE_URL is not set, and the embedded server is not installed ({error.name} is missing)",
            "Set DATABASE_URL, or install prompt-stats[pipeline]",
        ) from None
    return lambda: libpq_conninfo(client.start(home), APPLICATION_NAME)
