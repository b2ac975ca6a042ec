"""Spark as the engine of the rollups, by Spark Connect: it reads the lake's files, and Arrow comes back.

Imported only where Spark is chosen: its client is an extra, ``prompt-stats[spark]``.
"""

from __future__ import annotations

import atexit
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import grpc
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.database.queries import query
from pipeline.engines.scan import Condition, Input, Part, Scan
from pipeline.errors import EngineError, LakeError, readable


@contextmanager
def _importing() -> Iterator[None]:
    """Lets Spark's client be imported by any program, and without a warning.

    It takes a program without a file, such as that of ``python -c``, for its own doctests, and ends it. It
    warns of pandas 3, of which nothing is used here.
    """
    main = sys.modules["__main__"]
    has_file = hasattr(main, "__file__")
    if not has_file:
        main.__file__ = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if not has_file:
            del main.__file__


with _importing():
    from pyspark.errors import PySparkException
    from pyspark.errors.exceptions.connect import SparkConnectGrpcException
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.functions import col, lit
    from pyspark.sql.connect.session import SparkSession
    from pyspark.sql.pandas.types import from_arrow_schema

if TYPE_CHECKING:
    from pyspark.sql.connect.dataframe import DataFrame as ConnectDataFrame

CONNECT_SECONDS = 30
"""How long a server has to answer at first. Later, a call is repeated as Spark's client does it."""

CONFIGURATION: dict[str, bool | float | int | str | None] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    # A sum that does not fit is an error.
    "spark.sql.ansi.enabled": "true",
}

READING = {
    # As in a cluster's own configuration, files that can't be read might be passed over in silence.
    "ignoreMissingFiles": "false",
    "ignoreCorruptFiles": "false",
    "datetimeRebaseMode": "CORRECTED",
}

OF_THE_SERVER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""How calls end that never got to the query."""

READING_ATTEMPT = "Reading the lake on Spark"
WITHOUT_SPARK = "PROMPT_STATS_ENGINE=duckdb computes on this machine"


class SparkEngine:
    """An :class:`~pipeline.engines.engine.Engine`.

    Each query has a session of its own, so that threads don't see each other's tables.
    """

    def __init__(self, remote: str) -> None:
        """``remote``: the server's address, as Spark has it in ``SPARK_REMOTE``.

        :raises EngineError: the server does not answer.
        """
        self._remote = remote
        self._server = urlsplit(remote).netloc.rpartition("@")[2]
        attempted = f"Connecting to Spark at {self._server}"
        try:
            channel = DefaultChannelBuilder(remote).toChannel()
        except (PySparkException, ValueError):
            # Their texts may repeat the token.
            raise EngineError(
                attempted,
                "SPARK_REMOTE is not as Spark Connect has it",
                "Write it as sc://host:15002/;use_ssl=true;token=…, with each value encoded as in a URL",
            ) from None
        try:
            grpc.channel_ready_future(channel).result(CONNECT_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise EngineError(
                attempted,
                f"no Spark Connect server answered within {CONNECT_SECONDS} seconds",
                f"Start it, or set SPARK_REMOTE to its address; {WITHOUT_SPARK}",
            ) from error
        finally:
            channel.close()

    def table(self, name: str, /, **inputs: Input) -> pa.Table:
        """The result, in memory."""
        with self._result(name, inputs) as result:
            return result.toArrow()

    @contextmanager
    def stream(self, name: str, order: Collection[str], /, **inputs: Input) -> Iterator[pa.RecordBatchReader]:
        """The result in the order of some columns, nulls last, batch by batch as it arrives."""
        with self._result(name, inputs) as rows:
            if order:
                rows = rows.orderBy(*(col(each).asc_nulls_last() for each in order))
            schema = rows.limit(0).toArrow().schema
            yield pa.RecordBatchReader.from_batches(schema, _batches(rows, schema))

    @contextmanager
    def _result(self, name: str, inputs: Mapping[str, Input]) -> Iterator[DataFrame]:
        with self._translated(name), self._session() as session:
            for each, rows in inputs.items():
                _frame(session, rows).createOrReplaceTempView(each)
            yield session.sql(query(f"engine/{name}"))

    @contextmanager
    def _session(self) -> Iterator[SparkSession]:
        session = SparkSession.builder.remote(self._remote).config(map=CONFIGURATION).create()
        try:
            yield session
        except BaseException:
            # Not stop(), which would wait for a server that does not answer.
            session.client.close()
            raise
        else:
            session.stop()
        finally:
            # Else it would keep the client until the process ends.
            atexit.unregister(session.client._on_exit)

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        attempted = f"Computing {name} on Spark at {self._server}"
        try:
            yield
        except (PySparkException, grpc.RpcError, pa.ArrowException) as error:
            if isinstance(error, SparkConnectGrpcException) and error.getGrpcStatusCode() in OF_THE_SERVER:
                raise EngineError(
                    attempted, _short(error), f"Check the server and SPARK_REMOTE; {WITHOUT_SPARK}"
                ) from error
            raise LakeError(
                attempted,
                _short(error),
                "Check Spark's log and the disk; prompt-stats check names damaged files, and what helps",
            ) from error


def _frame(session: SparkSession, rows: Input) -> DataFrame:
    if isinstance(rows, Scan):
        return _scanned(session, rows)
    return _sent(session, rows.to_table() if isinstance(rows, ds.Dataset) else rows)


def _sent(session: SparkSession, rows: pa.Table) -> DataFrame:
    """Rows that go along with the query."""
    return session.createDataFrame(rows, from_arrow_schema(rows.schema))


def _scanned(session: SparkSession, scan: Scan) -> DataFrame:
    if scan.timezone:
        raise NotImplementedError("days of another time zone")
    frames = [frame for part in scan.parts for frame in _frames(session, part)]
    rows = _together(frames or [_sent(session, scan.schema.empty_table())])
    for condition in scan.conditions:
        rows = rows.where(_column(condition))
    if scan.keys is None:
        return rows
    wanted = rows.join(_sent(session, scan.keys), scan.keys.column_names, "left_semi")
    return wanted.select(scan.schema.names)


def _frames(session: SparkSession, part: Part) -> list[DataFrame]:
    """The rows of the files of a part, by day: not every server takes the day from the path of a file."""
    files = sorted(part.addresses())
    held = from_arrow_schema(pa.schema([field for field in part.schema if field.name != "day"]))
    reader = session.read.schema(held).options(**READING)
    frames = [
        reader.parquet(*(address for _, address in same)).select(
            *(lit(day).alias(name) if name == "day" else col(name) for name in part.schema.names)
        )
        for day, same in groupby(files, lambda file: file[0])
    ]
    if not frames:
        return []
    rows = _together(frames)
    _require_seen(rows, [address for _, address in files])
    if part.view is None:
        return frames
    rows.createOrReplaceTempView("usage_events")
    return [session.sql(query(f"engine/{part.view}"))]


def _require_seen(rows: DataFrame, addresses: list[str]) -> None:
    """Makes sure that Spark sees all files: not every server says so by itself."""
    try:
        seen = len(rows.inputFiles())
    except PySparkException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        seen = 0
    if seen < len(addresses):
        for address in addresses:
            if not _is_there(address):
                raise LakeError(
                    READING_ATTEMPT, f"{address} is missing", "prompt-stats check says what helps"
                )
        raise EngineError(
            READING_ATTEMPT,
            f"it sees {seen} of {len(addresses)} files; the first is {addresses[0]}",
            "Spark and this machine have to reach the lake by one address: set PROMPT_STATS_LAKE_URI to that"
            f" of an object store, or mount its folder on all machines of Spark; {WITHOUT_SPARK}",
        )


def _is_there(address: str) -> bool:
    # Elsewhere it is Spark's word that counts.
    return not address.startswith("file://") or Path(address.removeprefix("file://")).exists()


def _together(frames: list[DataFrame]) -> DataFrame:
    """The rows of all. Halved, since what is nested deeper than a hundred times can't be sent."""
    if len(frames) == 1:
        return frames[0]
    middle = len(frames) // 2
    return _together(frames[:middle]).unionAll(_together(frames[middle:]))


def _column(condition: Condition) -> Column:
    name, operator, value = condition
    match operator:
        case "=":
            return col(name) == lit(value)
        case "<":
            return col(name) < lit(value)
        case "<=":
            return col(name) <= lit(value)
        case ">=":
            return col(name) >= lit(value)
        case "is null":
            return col(name).isNull()
        case _:
            raise NotImplementedError(f"the operator {operator}")


def _batches(rows: DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    client = rows.sparkSession.client
    plan = cast("ConnectDataFrame", rows)._plan.to_proto(client)
    for some in client.to_table_as_iterator(plan, {}):
        if isinstance(some, pa.Table):
            yield from some.cast(schema).to_batches()


def _short(error: BaseException) -> str:
    """The text of an error, without what Java's stack adds to it."""
    return readable(RuntimeError(str(error).partition("\n\nJVM stacktrace")[0]))
