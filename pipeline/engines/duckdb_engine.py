"""DuckDB as the engine of the rollups."""

from __future__ import annotations

import duckdb
import polars as pl
import pyarrow.dataset as ds

from pipeline.queries import query


def run(name: str, **inputs: ds.Dataset) -> pl.DataFrame:
    """The result of ``sql/engine/<name>.sql`` over the tables that its header says it reads.

    The result is in memory, so the caller of a rollup chooses how many days it takes at once.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table, rows in inputs.items():
            connection.register(table, rows)
        result: pl.DataFrame = connection.sql(query(f"engine/{name}")).pl()
        return result
