"""Exports a published table as a file in one of three formats, for ``export`` and ``GET /export/{table}``.

The file is streamed from the database in batches, so that memory does not grow with the table, and from one
snapshot, so that no publish comes in between. The caller writes the chunks and shows the progress.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Select,
    Table,
    Text,
    case,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql

from pipeline.database import tables
from pipeline.database.connections import Database, Fault, bulk_error, is_locked
from pipeline.database.queries import query
from pipeline.errors import DatabaseError, NotFoundError, readable

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

FRESHNESS = query("answers/freshness")

ONE_SNAPSHOT = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"
SETTINGS = (
    "SET LOCAL application_name = 'prompt-stats-export'",
    # A migration holds a table for a moment; whoever holds it longer is not waited for.
    "SET LOCAL lock_timeout = '5s'",
)

TABLES = {
    table.name: table
    for table in (
        tables.prompts,
        *tables.STATS_TABLES,
        *tables.VALUE_TABLES,
        tables.user_prompt_stats,
        tables.stats_refresh,
    )
}
"""The tables that can be exported, by name."""

PROMPT_NAME = "prompt_name"
"""The column that tables with a ``prompt_id`` have in a file besides their own."""

BATCHES = {"adbc.postgresql.batch_size_hint_bytes": 4 * 2**20}
"""A quarter of the driver's own: as fast, and an export takes 50 MB instead of 120."""

FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"  # noqa: RUF001  # full-width signs count too
"""How a text begins that a spreadsheet may take for a formula.

https://owasp.org/www-community/attacks/CSV_Injection
"""

NUMBER = r"^-[0-9]+(\.[0-9]+)?$"
"""A negative number that is text in the file: an app's id or numeric. It is no more than it says."""

COUNT = "^-?[0-9]{1,18}([.]|$)"
"""How Postgres prints what a whole number of ours can hold, or a fraction that is rounded to one."""

TIMES = "%Y-%m-%dT%H:%M:%S%.6f%:z"

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


class Format(StrEnum):
    """The format of a file."""

    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"


MEDIA_TYPES = {
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.CSV: "text/csv",
    Format.JSON: "application/json",
}


class Chunk(NamedTuple):
    """The next bytes of a file, and how many rows they end."""

    content: bytes
    rows: int


Writer = Callable[["pa.Schema", Iterator["pa.RecordBatch"]], Iterator[Chunk]]
"""Makes a file of record batches."""


@dataclass(frozen=True)
class Export:
    """A table that is being exported.

    ``as_of``
        Of the stats in this table; None before the first refresh. Those of users have one of their own.
    ``lag_seconds``
        How long ago that is.
    ``row_count``
        Rows that there will be.
    ``chunks``
        The file, piece by piece, and at least one: with the first, the database has begun to answer. An
        error in the middle is a :class:`DatabaseError`, and what came before is no whole file.
    """

    as_of: dt.datetime | None
    lag_seconds: float | None
    row_count: int
    chunks: Iterator[Chunk]


@contextmanager
def open_export(database: Database, name: str, kind: Format, *, raw: bool = False) -> Iterator[Export]:
    """The table of that name, within a transaction that ends with the block, finished or not.

    In CSV a text that a spreadsheet may take for a formula gets a ``'`` in front, unless it is to be ``raw``.

    :raises NotFoundError: there is no such table to export; the text lists those that there are.
    :raises DatabaseError: the database does not answer.
    """
    if name not in TABLES:
        raise NotFoundError(
            f"Exporting the table {name!r}", "there is no such table", f"Choose one of {', '.join(TABLES)}"
        )
    table = TABLES[name]
    with ExitStack() as opened:
        with _explained(name):
            connection = opened.enter_context(database.adbc(isolation=ONE_SNAPSHOT))
            cursor = opened.enter_context(connection.cursor())
            cursor.adbc_statement.set_options(**BATCHES)
            for statement in SETTINGS:
                cursor.execute(statement)
            _, as_of, user_stats_as_of, value_stats_as_of, lag_seconds = _row(cursor, FRESHNESS)
            slower = {
                tables.user_prompt_stats: user_stats_as_of,
                **dict.fromkeys(tables.VALUE_TABLES, value_stats_as_of),
            }
            if table in slower:
                lag_seconds = _older(lag_seconds, as_of, slower[table])
                as_of = slower[table]
            (row_count,) = _row(cursor, _sql(select(func.count()).select_from(table)))
        write = writer_of(kind, raw=raw)
        chunks = _chunks(cursor, table, kind, write, row_count, {"table": name, "as_of": str(as_of or "")})
        opened.enter_context(closing(chunks))
        yield Export(as_of, lag_seconds, row_count, chunks)


def writer_of(kind: Format, *, raw: bool) -> Writer:
    """What makes a file of this kind; ``raw``: as :func:`open_export` has it."""
    return partial(_csv, raw=True) if raw and kind is Format.CSV else WRITERS[kind]


def _older(lag_seconds: float, as_of: dt.datetime, earlier: dt.datetime | None) -> float | None:
    """The lag of what is as of an earlier moment; None if it is of none."""
    return lag_seconds + (as_of - earlier).total_seconds() if earlier else None


def _row(cursor: Any, statement: str) -> Any:
    cursor.execute(statement)
    return cursor.fetchone()


def _chunks(
    cursor: Any, table: Table, kind: Format, write: Writer, row_count: int, about: dict[str, str]
) -> Generator[Chunk]:
    """The file's chunks.

    :raises DatabaseError: the database stopped answering, or answered with another number of rows.
    """
    seen = 0
    with _explained(table.name):
        cursor.execute(_sql(_select(table, kind)))
        reader = cursor.fetch_record_batch()
        for chunk in write(reader.schema.with_metadata(about), reader):
            seen += chunk.rows
            yield chunk
    if seen != row_count:
        raise DatabaseError(
            f"Exporting the table {table.name}",
            f"only {seen} of {row_count} rows arrived",
            "Delete the file, and export the table again",
        )


def _select(table: Table, kind: Format) -> Select[Any]:
    """All rows, in the order of the primary key, or of the columns that tell groups apart.

    Where they are about prompts, the last column is the prompt's name: columns by position stay as they are.
    """
    columns = tables.told(table)
    key = [column for column in columns if column.primary_key]
    key = key or list(takewhile(lambda column: column.name != "usage_count", columns))
    if kind is not Format.JSON:
        return select(*map(_readable, columns), *_names(table)).order_by(*key)
    # Postgres writes numbers with all their digits, times as ISO 8601, and JSON of the app as JSON.
    rows = select(*map(_as_ours, columns), *_names(table)).subquery("rows")
    return select(cast(func.row_to_json(rows.table_valued()), Text)).order_by(*(rows.c[c.name] for c in key))


def _names(table: Table) -> list[ColumnElement[Any]]:
    """The name of the prompt that a row is about, as it is now; NULL where the prompt is gone.

    Not by a join: rows stay as many as they are, and come in the order of the key without being sorted.
    """
    if "prompt_id" not in table.c:
        return []
    prompts = tables.prompts
    name = select(cast(prompts.c.name, Text)).where(prompts.c.id == table.c.prompt_id)
    return [name.scalar_subquery().label(PROMPT_NAME)]


def _readable(column: Column[Any]) -> ColumnElement[Any]:
    """JSON as text too: not every reader of Parquet knows its type."""
    if isinstance(column.type, postgresql.JSONB):
        return cast(column, Text).label(column.name)
    return _as_ours(column)


def _as_ours(column: Column[Any]) -> ColumnElement[Any]:
    """A column whose type may be an app's, as ours would be. Ids are texts, whatever the app has.

    Times get a zone, and none is Postgres's infinity, which no format has. A count that is none is NULL.
    """
    if isinstance(column.type, DateTime):
        return case((func.isfinite(column), cast(column, column.type))).label(column.name)
    if isinstance(column.type, postgresql.UUID):
        return cast(column, Text).label(column.name)
    if column.table is not tables.prompts or isinstance(column.type, postgresql.JSONB):
        return column
    if isinstance(column.type, BigInteger):
        is_count = cast(column, Text).regexp_match(COUNT)
        return case((is_count, cast(column, BigInteger))).label(column.name)
    return cast(column, column.type).label(column.name)


def _sql(statement: Select[Any]) -> str:
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Has errors of the driver say what was attempted; in the middle of a stream they are OSErrors."""
    # Arrow takes half a second to import, and most commands read a few rows.
    import adbc_driver_manager

    attempted = f"Exporting the table {name}"
    try:
        yield
    except adbc_driver_manager.Error as error:
        if is_locked(error):
            # The connection's context finds out by whom.
            raise
        raise bulk_error(error, attempted) from error
    except OSError as error:
        raise DatabaseError(attempted, readable(error), Fault.OUTAGE.value) from error


class _Sink(io.RawIOBase):
    """A file that is written from front to back, and of which only what was not taken yet is kept."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._written = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, content: Any, /) -> int:
        """Appends."""
        self._kept += content
        self._written += len(memoryview(content))
        return len(memoryview(content))

    def tell(self) -> int:
        """Where in the file it is."""
        return self._written

    def take(self) -> bytes:
        """What was written since it was last asked."""
        taken = bytes(self._kept)
        self._kept.clear()
        return taken


def _parquet(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[Chunk]:
    """One row group a batch; the file's metadata says which table it is, and as of when."""
    import pyarrow as pa
    from pyarrow import parquet

    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch], schema))
            yield Chunk(sink.take(), batch.num_rows)
    yield Chunk(sink.take(), 0)


def _csv(schema: pa.Schema, batches: Iterator[pa.RecordBatch], *, raw: bool = False) -> Iterator[Chunk]:
    """NULL is nothing between the commas, the empty text is ``""``: so does COPY."""
    import polars as pl

    yield Chunk(",".join(schema.names).encode() + b"\n", 0)
    for batch in batches:
        with io.BytesIO() as buffer:
            rows = pl.DataFrame(batch) if raw else _without_formulas(pl.DataFrame(batch))
            rows.write_csv(buffer, include_header=False, quote_style="necessary", datetime_format=TIMES)
            yield Chunk(buffer.getvalue(), batch.num_rows)


def _without_formulas(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a ``'`` before each text that a spreadsheet may take for a formula."""
    import polars as pl

    texts = pl.col(pl.String)
    is_formula = texts.str.contains(FORMULA) & ~texts.str.contains(NUMBER)
    return rows.with_columns(pl.when(is_formula).then(texts.str.replace("^", "'")).otherwise(texts))


def _json(_schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[Chunk]:
    """One array, one row per line; the batches hold each row as JSON already."""
    before = b"[\n"
    for batch in batches:
        yield Chunk(before + ",\n".join(batch.column(0).to_pylist()).encode(), batch.num_rows)
        before = b",\n"
    yield Chunk(b"[]\n" if before == b"[\n" else b"\n]\n", 0)


WRITERS: dict[Format, Writer] = {
    Format.PARQUET: _parquet,
    Format.CSV: _csv,
    Format.JSON: _json,
}
