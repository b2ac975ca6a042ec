"""Notices and repairs a BRIN index that hides some of the raw rows.

Postgres 17 and 18 can leave rows out of the summaries of such an index. This happens to rows of a statement
that began before the map of the index grew by a page, once per 340 MiB of the table, if another session
summarises their range meanwhile. Statements that use the index then no longer see these rows; statements that
read the table do. So a day is read without the index if another number of rows arrived than was counted, and
the nightly reconciliation counts the table.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping

import psycopg
from sqlalchemy import Connection, text

from pipeline.database.connections import Database
from pipeline.database.locks import waiting
from pipeline.database.queries import query
from pipeline.errors import TableLockedError, readable
from pipeline.lake import source
from pipeline.lake.contents import NOTHING, in_postgres

logger = logging.getLogger(__name__)

RAW_COUNTS = text(query("lake/raw_counts"))
RESCANNED_DAYS = text(query("lake/rescanned_days"))
BRIN_INDEXES = text(query("lake/brin_indexes"))
ABANDONED_INDEXES = text(query("lake/abandoned_indexes"))

LONGEST_WAIT = "1s"
"""For the lock that dropping an index takes: writers wait behind it."""


def avoid(connection: Connection) -> None:
    """Makes the statements of the transaction read the table instead of the index."""
    connection.execute(text(source.WITHOUT_INDEX))


def note(connection: Connection, days: Iterable[dt.date]) -> None:
    """Notes days that the next sync has to read completely from the table."""
    source.read_again(connection, days, operation="RESCAN")


def noted_days(connection: Connection) -> set[dt.date]:
    """The days noted by :func:`note`."""
    return set(connection.scalars(RESCANNED_DAYS))


def raw_counts(
    connection: Connection, first_day: dt.date, last_day: dt.date, high: int
) -> dict[dt.date, int]:
    """The days up to ``last_day`` of which Postgres has rows, and how many of them are below ``high``.

    Reads the whole table, and leaves the transaction so that the next statements do.
    """
    avoid(connection)
    given = {"cutoff": last_day + dt.timedelta(days=1), "first_day": first_day, "high": high}
    return {row.day: row.usage_count for row in connection.execute(RAW_COUNTS, given)}


def hidden_days(
    connection: Connection, counts: Mapping[dt.date, int], high: int, first_day: dt.date
) -> list[dt.date]:
    """Those of the days in ``counts`` (:func:`raw_counts`) of which the index does not show all rows.

    Leaves the transaction so that the next statements read the table.
    """
    shown = {day: _count(connection, day, high, first_day) for day in counts}
    avoid(connection)
    # What was deleted since it was counted is not hidden.
    suspects = [day for day, count in counts.items() if shown[day] < count]
    return [day for day in suspects if shown[day] < _count(connection, day, high, first_day)]


def _count(connection: Connection, day: dt.date, high: int, first_day: dt.date) -> int:
    return in_postgres(connection, [day], high, first_day).get(day, NOTHING).usage_count


def rebuild(database: Database) -> None:
    """Rebuilds the index without blocking readers and writers, or logs the statement for its owner."""
    given = {"table": database.names.qualified("prompt_usage")}
    with database.engine.connect() as connection:
        found = connection.execute(BRIN_INDEXES, given).all()
    for index in found:
        statement = f"REINDEX INDEX CONCURRENTLY {index.name}"
        if not index.is_ours:
            logger.error("%s hides rows. Run as its owner: %s", index.name, statement)
            continue
        try:
            with database.connect(autocommit=True) as driver:
                driver.execute(statement.encode())
        except (psycopg.Error, TableLockedError) as error:
            why = readable(error)
            logger.error("%s hides rows and could not be rebuilt (%s). Run: %s", index.name, why, statement)
        else:
            logger.warning("%s hid rows and was rebuilt", index.name)
    _drop_abandoned(database, given)


def _drop_abandoned(database: Database, given: Mapping[str, str]) -> None:
    """Drops what a failed attempt left, which the app's inserts would otherwise maintain forever."""
    with database.engine.begin() as connection:
        for index in connection.execute(ABANDONED_INDEXES, given).all():
            try:
                with waiting(connection, LONGEST_WAIT):
                    connection.execute(text(f"DROP INDEX {index.name}"))
            except TableLockedError:
                logger.error("%s is unusable. Run: DROP INDEX CONCURRENTLY %s", index.name, index.name)
