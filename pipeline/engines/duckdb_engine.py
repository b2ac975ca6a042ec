"""DuckDB as the engine of the rollups."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.errors import LakeError, readable
from pipeline.queries import query

MEMORY_LIMIT = "600MB"
"""What the queries of a process may hold; beyond it DuckDB writes to a temporary folder."""


def run(name: str, parameters: Mapping[str, object] | None = None, **inputs: ds.Dataset) -> pl.DataFrame:
    """The result of ``sql/engine/<name>.sql`` over the tables that its header says it reads.

    ``parameters``: values of the query's ``$names``.

    The result is in memory, so the caller of a rollup chooses how many days it takes at once.

    :raises LakeError: a file can't be read, or there is no room for the result.
    """
    with _connected(name, inputs) as connection:
        result: pl.DataFrame = connection.sql(query(f"engine/{name}"), params=parameters).pl()
        return result


@contextmanager
def _connected(name: str, inputs: dict[str, ds.Dataset]) -> Iterator[duckdb.DuckDBPyConnection]:
    with _translated(name), _engine().cursor() as connection:
        for table, rows in inputs.items():
            connection.register(table, rows)
        yield connection


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
