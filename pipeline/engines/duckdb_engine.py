"""DuckDB: the default engine of the rollups, and of all queries that are none.

The module is an :class:`~pipeline.engines.engine.Engine`.
"""

from __future__ import annotations

import atexit
import glob
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import duckdb
import polars as pl
import pyarrow as pa

from pipeline.database.queries import query
from pipeline.engines.scan import Condition, Input, Part, Scan
from pipeline.errors import LakeError, readable

MEMORY_LIMIT = "450MB"
"""What the queries of a process may hold; beyond it DuckDB writes to a temporary folder."""

ROWS_PER_BATCH = 2**16
"""Rows of a stream that are in memory as Arrow at a time."""

Relation = duckdb.DuckDBPyRelation


def run(name: str, parameters: Mapping[str, object] | None = None, /, **inputs: Input) -> pl.DataFrame:
    """The result of ``sql/engine/<name>.sql`` over the tables that its header says it reads.

    ``parameters``: values of the query's ``$names``.

    The result is in memory, so the caller of a rollup chooses how many days it takes at once.

    :raises LakeError: a file can't be read, or there is no room for the result.
    """
    return pl.DataFrame(table(name, parameters, **inputs))


def table(name: str, parameters: Mapping[str, object] | None = None, /, **inputs: Input) -> pa.Table:
    """As :func:`run`, as Arrow has it: for what goes on to the lake."""
    with _translated(name), _result(name, parameters, inputs) as result:
        return result.to_arrow_table()


@contextmanager
def stream(name: str, order: Collection[str], /, **inputs: Input) -> Iterator[pa.RecordBatchReader]:
    """As :func:`table`, in the order of some columns if any are given, nulls last.

    No more of it is in memory than the engine may hold.

    :raises LakeError: as :func:`run`, also while it is read.
    """
    with _translated(name), _result(name, None, inputs) as result:
        yield (result.order(", ".join(order)) if order else result).to_arrow_reader(ROWS_PER_BATCH)


@contextmanager
def _result(
    name: str, parameters: Mapping[str, object] | None, inputs: Mapping[str, Input]
) -> Iterator[Relation]:
    with _engine().cursor() as connection:
        for each, rows in inputs.items():
            connection.register(each, _relation(connection, rows) if isinstance(rows, Scan) else rows)
        yield connection.sql(query(f"engine/{name}"), params=parameters)


def _relation(connection: duckdb.DuckDBPyConnection, scan: Scan) -> Relation:
    """The rows of a scan. DuckDB's own reader takes a third of the time that Arrow's takes."""
    rows = connection.from_arrow(scan.schema.empty_table())
    for number, part in enumerate(scan.parts):
        more = _part(connection, part)
        if part.view:
            connection.register("usage_events", more)
            more = connection.sql(query(f"engine/{part.view}"))
        rows = rows.union(more) if number else more
    if scan.timezone:
        rows = _in_days_of(rows, scan.timezone)
    for condition in scan.conditions:
        rows = rows.filter(_expression(condition))
    if scan.keys is not None:
        rows = rows.join(connection.from_arrow(scan.keys), scan.keys.column_names, how="semi")
    return rows


def _part(connection: duckdb.DuckDBPyConnection, part: Part) -> Relation:
    empty = connection.from_arrow(part.schema.empty_table())
    if part.paths is None:
        return connection.from_arrow(part.dataset())
    if not part.paths:
        return empty
    # union_by_name: files of an older version lack columns.
    files = connection.read_parquet(
        [glob.escape(path) for path in part.paths],
        hive_partitioning=True,
        union_by_name=True,
    )
    held = set(files.columns)
    return files.select(
        *(
            (duckdb.ColumnExpression(name) if name in held else duckdb.ConstantExpression(None))
            .cast(kind)
            .alias(name)
            for name, kind in zip(empty.columns, empty.types, strict=True)
        )
    )


def _in_days_of(rows: Relation, timezone: str) -> Relation:
    created_at = duckdb.ColumnExpression("created_at")
    local = duckdb.FunctionExpression("timezone", duckdb.ConstantExpression(timezone), created_at)
    return rows.filter(created_at.isnotnull()).select(
        *(
            local.cast("DATE").alias(name) if name == "day" else duckdb.ColumnExpression(name)
            for name in rows.columns
        )
    )


def _expression(condition: Condition) -> duckdb.Expression:
    name, operator, value = condition
    column = duckdb.ColumnExpression(name)
    match operator:
        case "=":
            return column == duckdb.ConstantExpression(value)
        case "<":
            return column < duckdb.ConstantExpression(value)
        case "<=":
            return column <= duckdb.ConstantExpression(value)
        case ">=":
            return column >= duckdb.ConstantExpression(value)
        case "is null":
            return column.isnull()
        case _:
            raise NotImplementedError(f"the operator {operator}")


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    # To start it takes longer than most queries: one a process, a connection for each query.
    spill = tempfile.mkdtemp(prefix="prompt-stats-")
    atexit.register(shutil.rmtree, spill, ignore_errors=True)
    engine = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": spill})
    engine.execute("SET GLOBAL TimeZone = 'UTC'")
    # The order of rows without ORDER BY means nothing, and keeping it costs memory.
    engine.execute("SET GLOBAL preserve_insertion_order = false")
    return engine


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise LakeError(
            f"Computing {name} from the lake",
            # What comes from reading the files is wrapped into an error of the engine.
            readable(error).rpartition("' failed: ")[2],
            "Check the disk and its free space; prompt-stats check names damaged files, and what helps",
        ) from error
