"""The settings of sessions: every connection of this package gets them here.

They are set by statement: the environment (``PGTZ``, ``PGDATESTYLE``, ``PGOPTIONS``), the role, the database
and poolers override or drop what a connection asks for when it starts. The same statement reads them back.
Decision record 0017 says why each setting is among them.

Behind a pooler a session may be another client's a moment later. There nothing is set for the session, unless
it is known to be ours alone (:func:`keep`): each transaction sets what it needs, for itself
(:func:`transaction`).

The tracker imports this: psycopg, and nothing heavy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, Connection, IsolationLevel, RawCursor
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import ConnectionPool

from pipeline.database.queries import query
from pipeline.errors import DatabaseError
from pipeline.names import DEFAULT_NAMES, TableNames

PIN_SESSION = query("database/pin_session")

Settings = Mapping[str, str]
"""Values of server settings, by name."""

EVERYWHERE: Settings = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "default_transaction_isolation": "read committed",
    # A policy of the app's may check what the tracker inserts.
    "row_security": "on",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "client_connection_check_interval": "10s",
}
"""Of every session. What a server does not know, as the timeouts that came with 14 and 17, is left out. One
whose client vanished ends within a minute, and frees its locks."""

PIPELINE: Settings = {
    # An error instead of a filter: rows that a policy hides would be taken for deleted ones.
    "row_security": "off",
    "statement_timeout": "0",
    # A table that somebody holds for longer is not waited for; an operator's own limit stays.
    "lock_timeout": "1min",
    # What the lake's ledger rests on is on disk once it is committed.
    "synchronous_commit": "on",
}
"""Of the pipeline's sessions, too."""

OF_TCP = frozenset(name for name in EVERYWHERE if name.startswith("tcp_"))
"""Settings that read back as 0 where they mean nothing: on a Unix socket."""

REFUSALS = frozenset({"0A", "22", "42", "55"})
"""Classes of the SQLSTATE of a setting that is refused; any other error is not about it."""

ATTEMPTED = "Setting up a session"
REMEDY = "Let the server, or the pooler in front of it, allow sessions to change that setting"

Result = TypeVar("Result")
Opened = TypeVar("Opened", bound=Connection[Any])

_shared: WeakKeyDictionary[Connection[Any] | AsyncConnection[Any], Settings] = WeakKeyDictionary()
"""Connections behind a pooler, and what each of their transactions has to set."""


def settings_for(names: TableNames = DEFAULT_NAMES, more: Settings | None = None) -> Settings:
    """The settings of a session that looks for tables where ``names`` says, with ``more``."""
    path = {"search_path": _path(names)} if names.search_path else {}
    return {**EVERYWHERE, **(more or {}), **path}


def search_path_option(names: TableNames) -> str:
    """The search path for programs that are not ours, as libpq's ``options`` have it; empty without one."""
    return "-c search_path=" + re.sub(r"([\\\s])", r"\\\1", _path(names)) if names.search_path else ""


def _path(names: TableNames) -> str:
    return ", ".join('"{}"'.format(schema.replace('"', '""')) for schema in names.search_path)


def connect(conninfo: str, settings: Settings, connection_class: type[Opened], **options: Any) -> Opened:
    """A connection whose sessions have these settings. ``options``: those of ``psycopg.connect``.

    :raises DatabaseError: a setting was refused or did not take; the text names it.
    :raises psycopg.OperationalError: the server does not answer, or refuses us.
    """
    connection = connection_class.connect(conninfo, **options)
    try:
        configure(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_plainly(conninfo: str, **options: Any) -> Connection[Any]:
    """A connection as others would have it, to look at what the server, the role or the environment say."""
    return psycopg.connect(conninfo, **options)


def configure(connection: Connection[Any], settings: Settings) -> None:
    """Gives a new connection its settings, in one round trip; for :func:`connect`, and for pools.

    :raises DatabaseError: a setting was refused or did not take; the text names it.
    """
    is_autocommit = connection.autocommit
    connection.autocommit = True
    if not _pin(connection, settings, pid=connection.info.backend_pid):
        _shared[connection] = settings
        # Behind a pooler the next transaction may meet another server process, which has not prepared it.
        connection.prepare_threshold = None
    connection.autocommit = is_autocommit
    connection.isolation_level = IsolationLevel.READ_COMMITTED


async def configure_async(connection: AsyncConnection[Any], settings: Settings) -> None:
    """The same for a connection of asyncio, which commits each statement by itself."""
    await connection.set_autocommit(True)
    if not await _pin_async(connection, settings, pid=connection.info.backend_pid):
        _shared[connection] = settings
        connection.prepare_threshold = None


def is_shared(connection: Connection[Any] | AsyncConnection[Any]) -> bool:
    """Whether its sessions may be other clients' as well: a pooler is between, and nothing more is known."""
    return connection in _shared


def keep(connection: Connection[Any]) -> None:
    """Sets for the session what would be set in each transaction: the pooler gives it to nobody else.

    :raises DatabaseError: as of :func:`configure`.
    """
    is_autocommit = connection.autocommit
    connection.autocommit = True
    _pin(connection, _shared.pop(connection), pid=None)
    connection.autocommit = is_autocommit


def set_locally(connection: Connection[Any]) -> None:
    """Sets what the transaction, which has begun, needs; nothing where the session has it already.

    :raises DatabaseError: as of :func:`configure`.
    """
    if connection in _shared:
        _pin(connection, _shared[connection], is_local=True)


async def set_locally_async(connection: AsyncConnection[Any]) -> None:
    """The same, for a connection of asyncio."""
    if connection in _shared:
        await _pin_async(connection, _shared[connection], is_local=True)


@contextmanager
def transaction(connection: Connection[Any]) -> Iterator[None]:
    """A transaction, or savepoint, with our settings, whoever's the session was before."""
    with connection.transaction():
        set_locally(connection)
        yield


def run(
    connection: Connection[TupleRow], statement: str, parameters: Mapping[str, object]
) -> TupleRow | None:
    """Runs one statement in a transaction of its own; its first row, if it returns rows.

    ``connection`` commits each statement by itself. In one round trip, behind a pooler too.
    """
    if not is_shared(connection):
        cursor = connection.execute(statement, parameters)
    else:
        with connection.pipeline(), transaction(connection):
            cursor = connection.execute(statement, parameters)
    return cursor.fetchone() if cursor.description else None


def pin_bulk(cursor: Any, settings: Settings) -> None:
    """Sets what the transaction of an ADBC cursor needs.

    :raises DatabaseError: a setting did not take; the text names it.
    """
    cursor.execute(PIN_SESSION, _parameters(settings, is_local=True, pid=0))
    _require(cursor.fetchall())


def has_own_session(conninfo: str) -> bool:
    """Whether a pooler gives each connection a session that stays its own, for as long as it is open.

    Two connections that take turns see: one server process each, always the same and not each other's.

    :raises psycopg.OperationalError: the server does not answer.
    """
    turns = 3
    with (
        connect_plainly(conninfo, autocommit=True, prepare_threshold=None) as one,
        connect_plainly(conninfo, autocommit=True, prepare_threshold=None) as other,
    ):
        seen = [
            [each.execute("SELECT pg_backend_pid()").fetchone() for each in (one, other)]
            for _ in range(turns)
        ]
    return all(pids == seen[0] for pids in seen) and seen[0][0] != seen[0][1]


def run_on(
    pool: ConnectionPool[Opened],
    run: Callable[[Opened], Result],
    lend: Callable[[], AbstractContextManager[Opened]] | None = None,
) -> Result:
    """Runs something on a connection of a pool, and once more on a fresh one if the connection was dead.

    ``run`` may be repeated without harm, since the first time may have been done and only its answer lost.
    ``lend``: how a connection is taken from the pool, if not as the pool does it.

    :raises psycopg.OperationalError: the database is out of reach.
    """
    lend = lend or pool.connection
    connection: Opened | None = None
    try:
        with lend() as connection:
            return run(connection)
    except psycopg.Error:
        if connection is None or not connection.broken:
            raise
    # The server was restarted, or ended our sessions: the pool's other connections are as dead.
    pool.drain()
    with lend() as connection:
        return run(connection)


def _pin(
    connection: Connection[Any], settings: Settings, *, is_local: bool = False, pid: int | None = None
) -> bool:
    """Whether they are set; they are not where the session is not known to be ours."""
    cursor = RawCursor(connection, row_factory=tuple_row)
    with _in_words():
        cursor.execute(PIN_SESSION, _parameters(settings, is_local=is_local, pid=pid), prepare=False)
        rows = cursor.fetchall()
    _require(rows)
    return bool(rows)


async def _pin_async(
    connection: AsyncConnection[Any], settings: Settings, *, is_local: bool = False, pid: int | None = None
) -> bool:
    cursor = AsyncRawCursor(connection, row_factory=tuple_row)
    with _in_words():
        await cursor.execute(PIN_SESSION, _parameters(settings, is_local=is_local, pid=pid), prepare=False)
        rows = await cursor.fetchall()
    _require(rows)
    return bool(rows)


def _parameters(settings: Settings, *, is_local: bool = False, pid: int | None = None) -> list[Any]:
    return [json.dumps(settings), is_local, pid]


def _require(rows: Sequence[tuple[str, str, str]]) -> None:
    for name, wanted, found in rows:
        if found != wanted and not (found == "0" and name in OF_TCP):
            raise DatabaseError(ATTEMPTED, f"{name} has to be {wanted}, but stays {found}", REMEDY)


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in REFUSALS:
            raise
        raise DatabaseError(ATTEMPTED, error.diag.message_primary or str(error), REMEDY) from error
