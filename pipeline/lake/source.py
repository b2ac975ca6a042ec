"""Reads Postgres: the watermark, the days that changed, the events themselves. Writes nothing.

The watermark *high* is the smallest id of a transaction that is still open: all below it have ended, so
the set of rows with ``ingest_xid < high`` never grows again. A statement that runs later may see fewer
or changed rows (updates, deletes); each of those leaves a note in ``prompt_usage_invalidation``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from pipeline.database import Database
from pipeline.days import last_open_day
from pipeline.errors import DatabaseError
from pipeline.queries import query

if TYPE_CHECKING:
    import pyarrow as pa

OLDEST_WRITER = text(query("postgres/oldest_writer"))
SNAPSHOT = text(query("postgres/snapshot"))
LATEST_REFRESH = text(query("postgres/latest_refresh"))
TOUCHED_DAYS = text(query("postgres/touched_days"))
UNREAD_DAYS = text(query("postgres/unread_days"))
HELD_BACK = text(query("postgres/held_back"))
INVALIDATED_DAYS = text(query("postgres/invalidated_days"))
USAGE_EVENTS = query("postgres/usage_events")

WHOLE_DAY = -1
"""The mark of a day of which nothing was read yet."""


@dataclass(frozen=True)
class Snapshot:
    """What can be counted at a moment.

    ``high``
        Rows with a smaller ``ingest_xid`` are complete.
    ``next_xid``
        Whatever has committed by now has a smaller transaction id.
    ``as_of``
        Each event committed before it has an ``ingest_xid`` below ``high``.
    ``open_until``
        The last day whose events are counted.
    """

    high: int
    next_xid: int
    as_of: dt.datetime
    taken_at: dt.datetime
    open_until: dt.date


def take_snapshot(connection: Connection) -> Snapshot:
    """The watermark now.

    The order of the two reads matters. A transaction that is open at the second read and has an id
    either had it at the first, then ``as_of`` is not later than its start; or got it later, then all
    with a larger id committed after the first read.
    """
    writer = connection.execute(OLDEST_WRITER).one()
    now = connection.execute(SNAPSHOT).one()
    as_of = writer.read_at if now.high == now.next_xid else min(writer.read_at, writer.oldest_started_at)
    return Snapshot(now.high, now.next_xid, as_of, now.taken_at, last_open_day(now.taken_at))


def latest_refresh(connection: Connection) -> dict[str, Any] | None:
    """The last row of ``stats_refresh`` with ``lag_seconds``; None before the first publish."""
    row = connection.execute(LATEST_REFRESH).mappings().one_or_none()
    return dict(row) if row else None


def progress_since(connection: Connection, snapshot: Snapshot) -> dict[str, Any] | None:
    """The last refresh, as far as the snapshot can be compared with it.

    :raises DatabaseError: the server has not yet given out the transaction ids that the last refresh
        saw, so this is a copy on another server: old rows would be taken for new ones, or be missed.
    """
    previous = latest_refresh(connection)
    if previous and previous["high"] > snapshot.next_xid:
        raise DatabaseError(
            "Looking for new events",
            f"the last refresh saw transaction ids up to {previous['high']}, and this server is only at"
            f" {snapshot.next_xid}: the database was copied from another server",
            "Set ingest_xid of all rows of prompt_usage to NULL, empty stats_refresh and stats_day, and give"
            " PROMPT_STATS_LAKE_URI a new place; the next refresh then counts everything anew",
        )
    return previous


def touched_days(
    connection: Connection, snapshot: Snapshot, since: int, first_day: dt.date
) -> dict[dt.date, int]:
    """The days with rows inserted from ``since`` on, below ``high``, and their number."""
    rows = connection.execute(
        TOUCHED_DAYS,
        {
            "since": since,
            "high": snapshot.high,
            "open_until": snapshot.open_until,
            "first_day": first_day,
        },
    )
    return {row.day: row.usage_count for row in rows}


def unread_days(
    connection: Connection, snapshot: Snapshot, marks: Mapping[dt.date, int], first_day: dt.date
) -> dict[dt.date, int]:
    """Of the days in ``marks``, those with rows above their mark and below ``high``, and their number."""
    if not marks:
        return {}
    rows = connection.execute(
        UNREAD_DAYS,
        {
            "days": list(marks),
            "marks": list(marks.values()),
            "from_day": min(marks),
            "to_day": max(marks),
            "lowest_mark": min(marks.values()),
            "high": snapshot.high,
            "first_day": first_day,
        },
    )
    return {row.day: row.usage_count for row in rows}


def held_back_count(connection: Connection, snapshot: Snapshot) -> int:
    """The number of rows of days after ``open_until``."""
    return int(connection.execute(HELD_BACK, {"open_until": snapshot.open_until}).scalar_one())


def invalidated_days(connection: Connection, first_day: dt.date) -> dict[dt.date | None, int]:
    """The days with updated or deleted rows, and the last transaction that did it. None: every day."""
    rows = connection.execute(INVALIDATED_DAYS, {"first_day": first_day})
    return {row.day: row.xid for row in rows}


@contextmanager
def usage_events(
    database: Database, snapshot: Snapshot, marks: Mapping[dt.date, int], first_day: dt.date
) -> Iterator[pa.RecordBatchReader]:
    """A stream of the events of some days, each above its day's mark and below ``high``.

    ``marks`` has one entry a day, :data:`WHOLE_DAY` for a day that is wanted whole. Columns as in
    ``sql/postgres/usage_events.sql``.
    """
    settings = {
        "high": str(snapshot.high),
        "first_day": first_day.isoformat(),
        "from_day": min(marks).isoformat(),
        "to_day": max(marks).isoformat(),
        "lowest_mark": str(min(marks.values())),
        "days": json.dumps([{"day": day.isoformat(), "mark": mark} for day, mark in marks.items()]),
    }
    with database.adbc() as connection, connection.cursor() as cursor:
        for name, value in settings.items():
            cursor.execute("SELECT set_config($1, $2, false)", (f"prompt_stats.{name}", value))
            cursor.fetchall()
        cursor.execute(USAGE_EVENTS)
        yield cursor.fetch_record_batch()
