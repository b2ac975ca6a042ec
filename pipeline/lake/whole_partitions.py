"""Drops partitions of raw events instead of deleting their rows, if the lake has all of them.

Deleted rows stay on disk until the server cleans up, but a dropped partition is gone at once. Dropping it
needs a lock on the whole table for a moment, and ownership of the partition.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Mapping

import tenacity
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pipeline.adoption.catalog import quoted
from pipeline.database.connections import Database, cause_of
from pipeline.database.locks import waiting
from pipeline.database.queries import query
from pipeline.errors import TableLockedError, readable
from pipeline.lake.partitions import Partition, read_partitions

logger = logging.getLogger(__name__)

STILL_EXPIRED = text(query("lake/still_expired"))

LONGEST_WAIT = "1s"
"""For a lock of the partition, and then for that of the table: whoever comes after us waits as long."""

PATIENCE_SECONDS = 30.0
"""After this time, the rows are deleted instead."""

Count = Callable[[dt.date, Collection[int]], int]
"""How many rows of a day the lake has of those that are in some relations."""


def drop_partitions(
    database: Database, first_day: dt.date, cutoff: dt.date, highs: Mapping[dt.date, int], count: Count
) -> dict[str, int]:
    """Drops those that end before ``cutoff``, if the lake has each of their rows; returns which, and the rows
    of each.

    ``highs``: the watermark of each expired day with raw rows, below which the lake has them.
    """
    with database.engine.connect() as connection:
        partitions = read_partitions(connection, database.names.qualified("prompt_usage"))
    dropped: dict[str, int] = {}
    for partition in partitions:
        if partition.relations and partition.last and dt.date.fromisoformat(partition.last) < cutoff:
            own = {day: high for day, high in highs.items() if partition.has(day, first_day)}
            known = sum(count(day, partition.relations) for day in own)
            if not known:
                # It may have been made for rows to come.
                continue
            try:
                if _is_dropped(database, partition, known, own):
                    dropped[partition.name] = known
                    logger.info("%s was dropped, with %d rows that the lake has", partition.name, known)
            except (TableLockedError, DBAPIError) as error:
                why = readable(cause_of(error) if isinstance(error, DBAPIError) else error)
                logger.warning("%s can't be dropped, so its rows are deleted: %s", partition.name, why)
    return dropped


def _is_dropped(database: Database, partition: Partition, known: int, highs: Mapping[dt.date, int]) -> bool:
    """Drops it, unless it has other than so many rows, or newer ones, or a day is Postgres' again."""
    name = partition.name.replace("%", "%%")
    ingest_xid = quoted(database.names.column("prompt_usage", "ingest_xid")).replace("%", "%%")
    for attempt in tenacity.Retrying(
        stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
        wait=tenacity.wait_random(1, 2),
        retry=tenacity.retry_if_exception_type(TableLockedError),
        reraise=True,
    ):
        with (
            attempt,
            database.engine.begin() as connection,
            waiting(connection, LONGEST_WAIT),
        ):
            # Nobody writes there from here on.
            connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE MODE")
            counted = f"SELECT count(*), count(*) FILTER (WHERE {ingest_xid} >= %s) FROM {name}"  # noqa: S608  # names of the catalogs
            if connection.exec_driver_sql(counted, (min(highs.values()),)).one() != (known, 0):
                return False
            if any(connection.execute(STILL_EXPIRED, {"day": day}).first() is None for day in highs):
                return False
            connection.exec_driver_sql(f"DROP TABLE {name}")
    return True
