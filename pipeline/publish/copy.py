"""Writes frames into tables within the caller's transaction, and reads tables into frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from typing import cast as typed

import polars as pl
import psycopg
from adbc_driver_manager.dbapi import Connection as AdbcConnection
from sqlalchemy import Connection, Row, Table, Text, cast, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from pipeline.database.connections import Database, driver_of
from pipeline.database.locks import LONGEST_WAIT_SECONDS, waiting
from pipeline.database.queries import query
from pipeline.database.tables import ROW_ID
from pipeline.errors import TableLockedError
from pipeline.publish import binary
from pipeline.stats.changes import Changes, changed_rows

INDEXES_MADE_AFTERWARDS = text(query("publish/indexes_made_afterwards"))

ROWS_PER_BATCH = 50_000

READER_WAITS = "1s"
"""How long a connection that reads beside another one waits for a lock."""

_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def read_table(
    connection: AdbcConnection, table: Table, columns: list[str], where: Any = None
) -> pl.DataFrame:
    """The rows of a table as a frame: UUIDs as text, the other columns with their own types.

    ``where`` is a SQLAlchemy condition; its values are rendered into the statement by SQLAlchemy, since
    a bulk read takes no parameters: days and numbers only.
    """
    wanted = select(*(_readable(table.c[name]) for name in columns))
    if where is not None:
        wanted = wanted.where(where)
    sql = str(wanted.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return typed("pl.DataFrame", pl.from_arrow(cursor.fetch_arrow_table()))


@contextmanager
def reading(database: Database, connection: Connection, tables: Iterable[Table]) -> Iterator[AdbcConnection]:
    """A second connection, which reads what the transaction of ``connection`` is about to write.

    A session that waits for one of the tables (``VACUUM FULL``, a migration) could block the two forever,
    because Postgres does not know that the writer waits for the reader. So the writer takes all its locks
    first, and the reader gives up if it has to wait.

    :raises TableLockedError: somebody holds one of the tables, or waits for it.
    """
    names = ", ".join(table.name for table in tables)
    with waiting(connection, f"{LONGEST_WAIT_SECONDS * 1000:.0f}ms"):
        connection.execute(text(f"LOCK TABLE {names} IN ROW EXCLUSIVE MODE"))
    with database.adbc("Reading the stats that are published") as reader:
        with reader.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', $1, true)", (READER_WAITS,))
            cursor.fetchall()
        yield reader


PROMPTS_LISTED = 10_000
"""For more prompts than this, reading the whole table takes no longer."""


def of_prompts(table: Table, prompts: pl.DataFrame) -> Any:
    """The condition of :func:`read_table` for the rows of some prompts, or None to read all rows.

    ``prompts`` has the column ``prompt_id``.
    """
    if prompts.height > PROMPTS_LISTED:
        return None
    # A record of the table, since the type of its ids is the app's.
    records = f"jsonb_populate_recordset(NULL::{table.name}, :prompts)"
    listed = f"prompt_id IN (SELECT prompt_id FROM {records})"  # noqa: S608  # a name of ours
    return text(listed).bindparams(prompts=prompts.write_json())


def frame_of(rows: Iterable[Row[Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """The rows of a statement as a frame with these columns and types."""
    return pl.DataFrame([tuple(row) for row in rows], schema=dict(schema), orient="row")


def _readable(column: Any) -> Any:
    if isinstance(column.type, postgresql.UUID):
        return cast(column, Text).label(column.name)
    return column


def changes_of(table: Table, published: pl.DataFrame, wanted: pl.DataFrame) -> Changes:
    """The changes that have to be written to a table.

    ``published``: what :func:`read_table` gave, the key included. ``wanted``: its columns that tell readers
    something, in any order and of types that fit.
    """
    columns = [name for name in published.columns if name != ROW_ID]
    typed = wanted.select(pl.col(name).cast(published.schema[name]) for name in columns)
    return changed_rows(published, typed, [column.name for column in table.primary_key])


def write_changes(connection: Connection, table: Table, changes: Changes) -> int:
    """Deletes rows and appends others, and returns the number of both."""
    gone = _delete(connection, table.name, changes.gone) if changes.gone.height else 0
    return gone + copy_frame(connection, table.name, changes.rows)


def _delete(connection: Connection, table: str, gone: pl.DataFrame) -> int:
    """Deletes the rows with these keys; returns how many."""
    name = psycopg.sql.Identifier(table)
    keys = [*map(psycopg.sql.Identifier, gone.columns)]
    given: object = gone.write_json()
    if len(keys) == 1:
        statement = psycopg.sql.SQL("DELETE FROM {} WHERE {} = ANY(%s)").format(name, *keys)
        given = gone.to_series().to_list()
    else:
        # A record of the table, since the types of its ids are the app's.
        records = psycopg.sql.SQL("jsonb_populate_recordset(NULL::{}, %s)").format(name)
        statement = psycopg.sql.SQL("DELETE FROM {} AS published USING {} AS gone WHERE {}").format(
            name,
            records,
            psycopg.sql.SQL(" AND ").join(
                psycopg.sql.SQL("published.{0} = gone.{0}").format(key) for key in keys
            ),
        )
    with driver_of(connection).cursor() as cursor:
        return cursor.execute(statement, [given]).rowcount


@contextmanager
def indexes_afterwards(connection: Connection, table: str) -> Iterator[None]:
    """Creates the indexes of an empty table, including that of its key, after the block has filled it.

    Updating them row by row takes as long as all the rest, unless the rows are in the order of the indexes.
    Readers of the table wait until the transaction ends. The indexes stay as they are if the role does not
    own the table, another session holds it, or another object depends on one of them.
    """
    found = connection.execute(INDEXES_MADE_AFTERWARDS, {"table": table}).all()
    try:
        with waiting(connection, READER_WAITS):
            for index in found:
                connection.execute(text(index.dropping))
    except (TableLockedError, DBAPIError):
        # Or something rests on one of them, such as a view that groups by the key.
        found = []
    yield
    for index in found:
        connection.execute(text(index.making))


def copy_frame(connection: Connection, table: str, rows: pl.DataFrame) -> int:
    """Appends a frame to the table of that name, by COPY; columns are matched by name. Returns its height."""
    if rows.is_empty():
        return 0
    name = psycopg.sql.Identifier(table)
    columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, rows.columns))
    with driver_of(connection).cursor() as cursor:
        cursor.execute(psycopg.sql.SQL("SELECT {} FROM {} LIMIT 0").format(columns, name))
        oids = {column.name: column.type_code for column in cursor.description or ()}
        is_binary = binary.is_known(oids.values())
        form = psycopg.sql.SQL("binary" if is_binary else "csv, NULL '\\N'")
        statement = psycopg.sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(name, columns, form)
        with cursor.copy(statement) as copy:
            copy.write(binary.HEADER if is_binary else b"")
            for part in rows.iter_slices(ROWS_PER_BATCH):
                copy.write(binary.encoded(part, oids) if is_binary else _csv(part))
            copy.write(binary.TRAILER if is_binary else b"")
    return rows.height


def _csv(rows: pl.DataFrame) -> str:
    """The rows as CSV, for ids of types that an app brought along."""
    return rows.write_csv(
        include_header=False,
        # Texts are quoted and nulls are not, so that a text of \N stays a text.
        quote_style="non_numeric",
        null_value="\\N",
        datetime_format="%Y-%m-%d %H:%M:%S%.6f%:z",
    )
