"""Connections to Postgres, each with the settings of ``pipeline.database.sessions`` and a name to find it by.

SQLAlchemy for statements and transactions, ADBC where many rows travel as Arrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from pipeline.database import sessions
from pipeline.database.conninfo import DATABASE_URL, READ_URL, libpq_conninfo, names_in
from pipeline.database.locks import Lock, locked
from pipeline.database.table_locks import ExplainingConnection, locked_error
from pipeline.errors import DatabaseError, DatabaseUnavailableError, LakeConflictError, readable
from pipeline.files import require_own_home
from pipeline.names import DEFAULT_NAMES, TableNames
from pipeline.settings import DroppedPartitions, Settings

if TYPE_CHECKING:
    import adbc_driver_manager
    from adbc_driver_manager.dbapi import Connection as AdbcConnection

MINIMUM_VERSION = 13

_OF_ALL = "-c quote_all_identifiers=off -c idle_in_transaction_session_timeout=0"
STARTUP_OPTIONS = (f"{_OF_ALL} -c idle_session_timeout=0", _OF_ALL, "")
"""What the bulk driver needs before anything can be set by statement: it reads the types, by the names
of their functions, and takes its time. The first that is not refused."""

PASSING = ("08", "25P03", "25P04", "40", "53300", "55P03", "57P01", "57P02", "57P03", "57P05")
"""Beginnings of the SQLSTATE of what passes by itself: a lost connection, a session that was idle or a
transaction that was open for too long, a transaction that another one crossed, too many connections, a lock
that was not to be had, a server that stops or starts. A replica that cancels a read, since it could not
replay otherwise, says 40001."""

LOCKED = "55P03"
"""The SQLSTATE of a lock that was not free in time."""

REFUSED = "42501"
"""The SQLSTATE of a right that is missing."""

FILTERED = "row-level security"
"""Part of an error's text, of that SQLSTATE, where policies would hide rows: see ``sessions.PIPELINE``."""

NOT_THERE = ("42P01", "42703", "3F000")
"""The SQLSTATEs of a missing table, column or schema."""

READ_ONLY = "25006"
"""The SQLSTATE of a write to a read-only server, such as a replica."""

UNTRANSLATABLE = "22P05"
"""The SQLSTATE of a character that the encoding of the database or the client lacks."""


class Fault(Enum):
    """The cause of an error of the database. The value says what to do, without a final full stop."""

    OUTAGE = "Nothing was left half-done. Run the command again when the database works"
    READ_ONLY = (
        "Set DATABASE_URL to the primary server. If it is the primary, default_transaction_read_only is on"
        " for the role or the database: ALTER ROLE … RESET it, or ALTER DATABASE … RESET it"
    )
    RIGHT = "Connect as a role that has the right; docs/roles.md says what each role needs"
    HIDDEN_ROWS = "Give the role BYPASSRLS or membership in the table's owner, or disable row level security"
    SCHEMA = "Something is missing in the database; run prompt-stats doctor to see what"
    TEXT = "Use only characters that the database's encoding has"
    PROGRAM = (
        "Unless the error comes from a trigger or constraint of yours, this is a bug of prompt-stats: please"
        " report it"
    )


@dataclass(frozen=True)
class Database:
    """One Postgres database.

    ``conninfo`` is a libpq connection string and may hold a password: never log it. ``names``: what the app
    calls its tables; sessions find them by ours. ``write_back``: whether a publish writes the counters in
    ``prompts``, or leaves that table alone. ``counts_down``: whether numbers go down when a partition of raw
    events is dropped (``pipeline.lake.partitions``). ``replica``: where raw events are read, if not here
    (``pipeline.lake.replica``).
    """

    conninfo: str = field(repr=False)
    names: TableNames = DEFAULT_NAMES
    write_back: bool = True
    counts_down: bool = False
    replica: Database | None = None

    @classmethod
    def from_url(
        cls, url: str, application_name: str = "prompt-stats", names: TableNames = DEFAULT_NAMES
    ) -> Database:
        """The database at ``url``, checked: it answers, and is new enough.

        :raises DatabaseError: it does not answer, refuses us, or is older than version 13.
        """
        database = cls(libpq_conninfo(url, application_name), names_in(url, names))
        database.check()
        return database

    @classmethod
    def from_settings(cls, settings: Settings, application_name: str = "prompt-stats") -> Database:
        """The database that the settings name: ``DATABASE_URL``, else the embedded server, started; and the
        replica of it, if they name one, which is not looked at yet.

        :raises DatabaseError: as :meth:`from_url`, or the embedded server can't be started.
        :raises SettingsError: another user can change what is in the home, with the lake.
        """
        require_own_home(settings.home)
        url = settings.database_url
        names = names_in(url, settings.tables) if url else settings.tables
        if url is None:
            from pipeline.database.embedded import client

            url = client.start(settings.home)
        replica = settings.read_url and cls(
            libpq_conninfo(settings.read_url, application_name, READ_URL), names
        )
        database = cls.from_url(url, application_name, names)
        return replace(
            database,
            write_back=settings.write_back,
            counts_down=settings.dropped_partitions is DroppedPartitions.COUNT_DOWN,
            replica=replica or None,
        )

    def named(self, application_name: str) -> Database:
        """The same database, with connections of another name."""
        return replace(
            self,
            conninfo=make_conninfo(self.conninfo, application_name=application_name),
            replica=self.replica and self.replica.named(application_name),
        )

    @cached_property
    def engine(self) -> Engine:
        """The SQLAlchemy engine; its connections use psycopg."""
        engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
        )
        event.listen(engine, "begin", lambda connection: sessions.set_locally(driver_of(connection)))
        return engine

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection of psycopg, with a session of its own. ``options``: those of ``psycopg.connect``.

        :raises DatabaseError: a setting did not take, or a pooler gives each transaction another session.
        """
        connection = self._connect(**options)
        try:
            require_own_session(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, **options: Any) -> psycopg.Connection[Any]:
        try:
            connection = sessions.connect(self.conninfo, self._settings, ExplainingConnection, **options)
            connection.connect_again = self._connect
        except psycopg.errors.QueryCanceled as error:
            raise DatabaseUnavailableError(
                sessions.ATTEMPTED,
                f"{readable(error)}, before our settings took effect",
                "Set a longer statement_timeout for the role and the database: ALTER ROLE … SET, or ALTER"
                " DATABASE … SET",
            ) from error
        if sessions.is_shared(connection) and self._has_own_sessions:
            sessions.keep(connection)
        return connection

    @property
    def _settings(self) -> sessions.Settings:
        return sessions.settings_for(self.names, sessions.PIPELINE)

    @cached_property
    def _has_own_sessions(self) -> bool:
        return sessions.has_own_session(self.conninfo)

    @contextmanager
    def adbc(self, attempted: str = "Reading the database", isolation: str = "") -> Iterator[AdbcConnection]:
        """A connection for bulk reads as Arrow, in a transaction that ends with the block.

        ``isolation``: the transaction's, as ``SET TRANSACTION`` has it; else read committed.

        :raises DatabaseError: an error of the driver, in the block too; ``attempted`` begins its text.
        """
        import adbc_driver_manager

        try:
            with self._adbc_source.adbc_clone() as connection:
                with connection.cursor() as cursor:
                    if isolation:
                        cursor.execute(f"SET TRANSACTION {isolation}")
                    sessions.pin_bulk(cursor, self._settings)
                yield connection
        except adbc_driver_manager.Error as error:
            if is_locked(error):
                raise locked_error(self._connect, attempted=attempted) from error
            raise bulk_error(error, attempted) from error

    @cached_property
    def _adbc_source(self) -> AdbcConnection:
        # The driver reads the catalog of types when it first connects; clones share what it read.
        # Arrow takes half a second to import, and most commands read a few rows.
        import adbc_driver_manager
        from adbc_driver_postgresql.dbapi import connect

        for options in STARTUP_OPTIONS:
            try:
                source = connect(self._with_options(options), autocommit=True)
            except adbc_driver_manager.Error:
                # An older server, or a pooler, refuses options. If it is anything else, it is said again.
                if not options:
                    raise
            else:
                break
        with source.cursor() as cursor:
            cursor.execute("SELECT 'a text'::text")
            if cursor.fetchone() != ("a text",):
                source.close()
                raise DatabaseError(
                    sessions.ATTEMPTED,
                    "quote_all_identifiers is on for the role or the database, and a pooler drops the option"
                    " that turns it off, so the types of the database can't be read",
                    "Run ALTER ROLE … SET quote_all_identifiers = off, or let DATABASE_URL name the server",
                )
        return cast("AdbcConnection", source)

    def _with_options(self, options: str) -> str:
        given = str(conninfo_to_dict(self.conninfo).get("options") or "")
        return make_conninfo(self.conninfo, options=f"{given} {options}".strip())

    def close(self) -> None:
        """Closes the connections that are kept for the next use."""
        self.engine.dispose()
        source: AdbcConnection | None = vars(self).pop("_adbc_source", None)
        if source:
            source.close()
        if self.replica:
            self.replica.close()

    @contextmanager
    def locked(self, lock: Lock) -> Iterator[None]:
        """Waits for a lock, and holds it for the block: see :func:`pipeline.database.locks.locked`.

        :raises DatabaseUnavailableError: another session holds it for too long.
        :raises DatabaseError: a pooler gives each transaction another session, which would lose the lock.
        """
        with self.engine.connect() as connection:
            require_own_session(driver_of(connection))
            with locked(connection, lock):
                yield

    def address(self) -> str:
        """Which database answers, as an operator writes it: ``host:port/name``, never with a password."""
        with self._connect() as connection:
            return _address(connection)

    def check(self, variable: str = DATABASE_URL) -> None:
        """Makes sure that the database, which ``variable`` names, answers and is new enough.

        :raises DatabaseError: it does not answer, refuses us, or is older than version 13.
        """
        try:
            with self._connect() as connection:
                version = connection.info.server_version // 10000
                where = _address(connection)
        except psycopg.OperationalError as error:
            raise DatabaseUnavailableError(
                "Connecting to the database",
                " ".join(str(error).split()).rstrip("?."),
                f"Check {variable}, and that the server is running",
            ) from None
        if version < MINIMUM_VERSION:
            raise DatabaseError(
                f"Using the database {where}",
                f"it is PostgreSQL {version}, but the oldest supported version is {MINIMUM_VERSION}",
                f"Upgrade the server, or set {variable} to another one",
            )


def _address(connection: psycopg.Connection) -> str:
    return f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}"


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """Psycopg's own connection, of SQLAlchemy's."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def require_own_session(connection: psycopg.Connection[Any]) -> None:
    """Makes sure that the connection keeps its session between two transactions.

    :raises DatabaseError: a pooler in transaction mode is between.
    """
    if sessions.is_shared(connection):
        raise DatabaseError(
            "Using a session that stays the same",
            "the address leads to a pooler in transaction mode, which gives each transaction another session,"
            " so the pipeline's locks would be lost or held forever",
            f"Set {DATABASE_URL} to the server itself, or to a pooler in session mode (docs/adoption.md)",
        )


def cause_of(error: BaseException) -> BaseException:
    """The driver's own error, where SQLAlchemy has wrapped it."""
    return (error.orig if isinstance(error, DBAPIError) else None) or error


def is_transient(error: BaseException) -> bool:
    """Whether the fault is transient, so that a retry may succeed.

    An error of the connection itself has no SQLSTATE, whether the server is away or refuses the password; so
    a refused password is tried again too.
    """
    if isinstance(error, DatabaseUnavailableError | LakeConflictError):
        return True
    cause = cause_of(error)
    state = _sqlstate(cause)
    return state.startswith(PASSING) if state else _is_operational(cause)


def is_locked(error: BaseException) -> bool:
    """Whether a statement waited for a lock for too long."""
    return _sqlstate(cause_of(error)) == LOCKED


def fault_of(error: BaseException) -> Fault:
    """The cause of an error of SQLAlchemy, psycopg or ADBC."""
    cause = cause_of(error)
    state = _sqlstate(cause)
    if state == REFUSED:
        return Fault.HIDDEN_ROWS if FILTERED in str(cause) else Fault.RIGHT
    if state in NOT_THERE:
        return Fault.SCHEMA
    if state == READ_ONLY:
        return Fault.READ_ONLY
    if state == UNTRANSLATABLE:
        return Fault.TEXT
    is_outage = state.startswith(PASSING) or _is_operational(cause)
    return Fault.OUTAGE if is_outage else Fault.PROGRAM


def bulk_error(error: adbc_driver_manager.Error, attempted: str) -> DatabaseError:
    """An error of ADBC as one of ours: :class:`DatabaseUnavailableError` if it passes by itself.

    The driver's text has the statement in it; what the server said is the first line after ``ERROR``.
    """
    said = re.search(r"ERROR: +(.*)", str(error))
    kind = DatabaseUnavailableError if is_transient(error) else DatabaseError
    return kind(attempted, said[1] if said else readable(error), fault_of(error).value)


def _is_operational(error: BaseException) -> bool:
    # With Arrow, as above.
    import adbc_driver_manager

    return isinstance(error, psycopg.OperationalError | adbc_driver_manager.OperationalError)


def _sqlstate(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""
