"""What a journal's SQLite file may hold. Whoever can write it can put code there.

A view, a trigger or a generated column may run for ever: nothing is read from a file that has one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

BUSY_SECONDS = 5.0
"""Longest wait for another process that writes to the journal."""

BASE_SECONDS = 60.0
BYTES_PER_SECOND = 4 * 2**20
"""Slower is no disk that holds a journal."""

OPERATIONS = 10_000
"""Of SQLite's virtual machine, between two looks at the clock."""

CREATE = """
CREATE TABLE IF NOT EXISTS waiting (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    accepted_at REAL NOT NULL,
    record      BLOB NOT NULL
)
"""
CREATE_UNREADABLE = "CREATE TABLE IF NOT EXISTS unreadable AS SELECT * FROM waiting WHERE false"
SCHEMA = "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema"


class NotAJournalError(sqlite3.DatabaseError):
    """The file holds what no tracker wrote."""


def connect(file: Path) -> sqlite3.Connection:
    """A connection that runs nothing of what the schema says, and starts no transaction by itself."""
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


@contextmanager
def transaction(
    connection: sqlite3.Connection, kind: Literal["DEFERRED", "IMMEDIATE"] = "DEFERRED"
) -> Iterator[None]:
    """A transaction on a file that holds a journal's tables and nothing else: nobody changes that meanwhile.

    :raises NotAJournalError: it holds something else.
    """
    with connection:
        connection.execute(f"BEGIN {kind}")
        require_schema(connection)
        yield


def require_schema(connection: sqlite3.Connection) -> bool:
    """Whether the file has any table.

    :raises NotAJournalError: it holds other than a journal's tables.
    """
    found = _schema(connection)
    ours = _ours()
    if others := [(kind, name) for kind, name, sql in found if (kind, name, sql) not in ours]:
        said = ", ".join(f"{_shown(kind)} {_shown(name)}" for kind, name in others[:5])
        raise NotAJournalError(f"it contains objects of other programs: {said}")
    if len(found) > len(set(found)):
        raise NotAJournalError("it contains the same table twice")
    return bool(found)


@contextmanager
def limited(connection: sqlite3.Connection, seconds: float) -> Iterator[Callable[[], bool]]:
    """Ends the block's statements after some time; yields whether it is over.

    :raises sqlite3.OperationalError: it was, while a statement ran.
    """
    deadline = time.monotonic() + seconds

    def is_over() -> bool:
        return time.monotonic() >= deadline

    connection.set_progress_handler(is_over, OPERATIONS)
    try:
        yield is_over
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise sqlite3.OperationalError(f"it can't be read within {seconds:,.0f} seconds") from error
        raise
    finally:
        connection.set_progress_handler(None, 0)


def limit_seconds(file: Path) -> float:
    """How long anybody may work on the whole of a file."""
    return BASE_SECONDS + file.stat().st_size / BYTES_PER_SECOND


@cache
def _ours() -> frozenset[tuple[bytes, bytes, bytes]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(CREATE)
        connection.execute(CREATE_UNREADABLE)
        return frozenset(_schema(connection))


def _schema(connection: sqlite3.Connection) -> list[tuple[bytes, bytes, bytes]]:
    rows = connection.execute(SCHEMA).fetchall()
    return [(kind or b"", name or b"", b" ".join((sql or b"").split())) for kind, name, sql in rows]


def _shown(text: bytes) -> str:
    return ascii(text.decode("utf-8", "backslashreplace"))[1:-1][:100]
