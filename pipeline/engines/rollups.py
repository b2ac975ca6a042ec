"""The rollups, on the engine that ``PROMPT_STATS_ENGINE`` names; other queries are run by DuckDB, directly.

A rollup is a query whose header says that it runs unchanged on DuckDB and Spark.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache

import polars as pl
import pyarrow as pa

from pipeline.engines import duckdb_engine
from pipeline.engines.engine import Engine
from pipeline.engines.scan import Input
from pipeline.errors import EngineError, readable
from pipeline.settings import EngineName, settings

_instead: list[Engine] = []


def run(name: str, /, **inputs: Input) -> pl.DataFrame:
    """The result of ``sql/engine/<name>.sql`` over the tables that its header says it reads.

    The result is in memory, so the caller of a rollup chooses how many days it takes at once.

    :raises LakeError: a file can't be read, or there is no room for the result.
    :raises EngineError: the engine can't be used.
    """
    return pl.DataFrame(table(name, **inputs))


def table(name: str, /, **inputs: Input) -> pa.Table:
    """As :func:`run`, as Arrow has it: for what goes on to the lake."""
    return _engine().table(name, **inputs)


def stream(
    name: str, order: Collection[str], /, **inputs: Input
) -> AbstractContextManager[pa.RecordBatchReader]:
    """As :func:`table`, in the order of some columns if any are given.

    No more of it is in memory than the engine may hold.

    :raises LakeError: as :func:`run`, also while it is read.
    """
    return _engine().stream(name, order, **inputs)


@contextmanager
def using(engine: Engine) -> Iterator[None]:
    """Runs the rollups of a block on this engine, whatever the environment says; in all threads."""
    _instead.append(engine)
    try:
        yield
    finally:
        _instead.pop()


def _engine() -> Engine:
    return _instead[-1] if _instead else _configured()


@cache
def _configured() -> Engine:
    if settings().engine is EngineName.DUCKDB:
        return duckdb_engine
    try:
        from pipeline.engines.spark_engine import SparkEngine
    except ImportError as error:
        raise EngineError(
            "Loading the client of Spark",
            f"PROMPT_STATS_ENGINE is spark, and {readable(error)}",
            "Install it: pip install 'prompt-stats[spark]'",
        ) from error
    return SparkEngine(settings().spark_remote or "")
