"""Waits for a table that another session holds: they end, and the error says who holds it.

How long a statement waits is the session's ``lock_timeout`` (``pipeline.database.sessions``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.errors import LockNotAvailable
from psycopg.rows import namedtuple_row

from pipeline.database.locks import ending, said
from pipeline.database.queries import query
from pipeline.errors import TableLockedError

TABLE_LOCK_HOLDERS = query("database/table_lock_holders")

ATTEMPTED = "Waiting for a table"
NOBODY = "its holder has just ended, or is a prepared transaction (pg_prepared_xacts)"

NAMED = 5
"""How many tables of one session are named."""

Connect = Callable[[], psycopg.Connection[Any]]


class ExplainingConnection(psycopg.Connection[Any]):
    """Raises :class:`TableLockedError` where a statement waits for a lock for too long.

    ``connect_again`` opens another connection, to look who holds it.
    """

    connect_again: Connect | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """As psycopg's."""
        try:
            return super().wait(gen, interval, timeout)
        except LockNotAvailable as error:
            if self.connect_again is None:
                raise
            raise locked_error(self.connect_again, self.info.backend_pid) from error


def locked_error(connect: Connect, pid: int = 0, attempted: str = ATTEMPTED) -> TableLockedError:
    """What to say of a statement that waited for too long: who holds the tables that it may have waited for.

    ``pid``: the session that waited.
    """
    holders: list[Any] = []
    # The answer is worth less than the error: a server without a free connection gives none.
    with suppress(psycopg.Error), connect() as connection:
        holders = (
            connection.cursor(row_factory=namedtuple_row).execute(TABLE_LOCK_HOLDERS, {"pid": pid}).fetchall()
        )
    pids = {holder.pid for holder in holders}
    return TableLockedError(
        attempted,
        f"it was not free in time; {' and '.join(map(_said, holders)) or NOBODY}",
        f"Nothing was left half-done. Run the command again when that has ended; if it hangs, {ending(pids)}",
    )


def _said(holder: Any) -> str:
    what = ", ".join(holder.tables[:NAMED])
    if len(holder.tables) > NAMED:
        what += f" and {len(holder.tables) - NAMED} more"
    if holder.granted:
        return f"{what} is held ({holder.mode}) by {said(holder)}"
    behind = ", ".join(map(str, holder.behind)) or "none"
    return f"{what} is waited for ({holder.mode}) by {said(holder)}, behind pid {behind}"
