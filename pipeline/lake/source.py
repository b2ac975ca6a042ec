"""Reads Postgres: the watermark, the days that changed, and the events; and stores its own marks there.

The watermark *high* is the smallest id of an open transaction. All transactions below it have ended, so
the set of rows with ``ingest_xid < high`` never grows again. A later statement may see fewer or changed
rows (updates, deletes), and each such change leaves a note in ``prompt_usage_invalidation``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, case, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from pipeline.adoption.catalog import read_catalog
from pipeline.adoption.plan import renew_watermark
from pipeline.database.connections import Database, bulk_error, is_transient
from pipeline.database.queries import query
from pipeline.database.tables import prompt_usage_invalidation, stats_expired_day, stats_sync, user_stats_day
from pipeline.days import last_open_day
from pipeline.errors import DatabaseError
from pipeline.lake.flow import batch_bytes, paced
from pipeline.names import TableNames

if TYPE_CHECKING:
    import pyarrow as pa

OLDEST_WRITER = text(query("lake/oldest_writer"))
SNAPSHOT = text(query("lake/snapshot"))
HAS_IDS_TO_COME = text(query("lake/has_ids_to_come"))
FORGET_WATERMARKS = text(query("lake/forget_watermarks"))
LATEST_SYNC = text(query("lake/latest_sync"))
FORGET_OLD_SYNCS = text(query("lake/forget_old_syncs"))
LATEST_REFRESH = text(query("lake/latest_refresh"))
TOUCHED_DAYS = text(query("lake/touched_days"))
UNREAD_DAYS = text(query("lake/unread_days"))
HELD_BACK = text(query("lake/held_back"))
INVALIDATED_DAYS = text(query("lake/invalidated_days"))
USAGE_EVENTS = query("lake/usage_events")

WITHOUT_INDEX = (
    "SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'on', true)"
)
"""Until the transaction ends: an index over ranges of blocks is read in no other way."""

WHOLE_DAY = -1
"""The mark of a day that has not been read yet."""


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
    ``server``
        Whose transaction ids these are: the cluster and the database.
    """

    high: int
    next_xid: int
    as_of: dt.datetime
    taken_at: dt.datetime
    open_until: dt.date
    server: str


def take_snapshot(connection: Connection) -> Snapshot:
    """The watermark now.

    The order of the two reads matters. A transaction that is open at the second read and has an id
    either had it at the first, then ``as_of`` is not later than its start; or got it later, then all
    with a larger id committed after the first read.
    """
    writer = connection.execute(OLDEST_WRITER).one()
    now = connection.execute(SNAPSHOT).one()
    as_of = writer.read_at if now.high == now.next_xid else min(writer.read_at, writer.oldest_started_at)
    return Snapshot(now.high, now.next_xid, as_of, now.taken_at, last_open_day(now.taken_at), now.server)


def latest_refresh(connection: Connection) -> dict[str, Any] | None:
    """The last row of ``stats_refresh`` with ``lag_seconds``; None before the first publish."""
    row = connection.execute(LATEST_REFRESH).mappings().one_or_none()
    return dict(row) if row else None


def has_stepped_back(connection: Connection, snapshot: Snapshot) -> bool:
    """Whether the last sync read up to transaction ids that the server has not assigned yet."""
    sync = connection.execute(LATEST_SYNC).one_or_none()
    return sync is not None and sync.high > snapshot.next_xid


def has_synced(connection: Connection) -> bool:
    """Whether this database has filled a lake since it was migrated."""
    return connection.execute(LATEST_SYNC).one_or_none() is not None


def record_sync(connection: Connection, snapshot: Snapshot) -> None:
    """Stores the watermark of a sync, for ``as_of`` and for :func:`has_stepped_back`."""
    connection.execute(
        insert(stats_sync).values(
            high=snapshot.high,
            next_xid=snapshot.next_xid,
            as_of=snapshot.as_of,
            started_at=snapshot.taken_at,
        )
    )
    connection.execute(FORGET_OLD_SYNCS)


def renumber(connection: Connection, snapshot: Snapshot, names: TableNames) -> None:
    """Discards everything that refers to another server's transaction ids. After it, everything is new.

    Rows with ids that this server has not assigned yet would seem to be from the future. In that case the
    column is created again: older rows have none and count as 0. That takes a moment for tables of any size.

    :raises DatabaseError: the role does not own ``prompt_usage``.
    """
    if connection.execute(HAS_IDS_TO_COME, {"next_xid": snapshot.next_xid}).scalar_one():
        try:
            with connection.begin_nested():
                connection.execute(text("SET LOCAL lock_timeout = '5s'"))
                for statement in renew_watermark(read_catalog(connection, names), names):
                    connection.exec_driver_sql(statement)
        except DBAPIError as error:
            raise DatabaseError(
                "Bringing a restored database in line with its server's transaction ids",
                " ".join(str(error.orig).split()),
                "Run prompt-stats refresh once as the owner of prompt_usage, at a quiet moment",
            ) from error
    connection.execute(prompt_usage_invalidation.delete())
    connection.execute(stats_sync.delete())
    connection.execute(stats_expired_day.update().values(high=0))
    connection.execute(user_stats_day.delete())
    connection.execute(FORGET_WATERMARKS)
    record_sync(connection, snapshot)


def record_strays(connection: Connection, snapshot: Snapshot, days: Collection[dt.date]) -> None:
    """Records that the lake has the raw rows of expired days up to the watermark."""
    statement = update(stats_expired_day).where(stats_expired_day.c.day.in_(days))
    connection.execute(statement.values(high=snapshot.high))


def record_contents(connection: Connection, contents: Mapping[dt.date, tuple[int, int | None]]) -> None:
    """Stores how many events the lake has of expired days, and their checksum.

    A day without a checksum is about to change, so that after a crash it is not taken for a wrong one.
    """
    for day, (count, checksum) in contents.items():
        statement = update(stats_expired_day).where(stats_expired_day.c.day == day)
        connection.execute(statement.values(usage_count=count, checksum=checksum))


def latest_sync_high(connection: Connection) -> int | None:
    """The watermark of the last sync, or None before the first."""
    sync = connection.execute(LATEST_SYNC).one_or_none()
    return sync.high if sync else None


@dataclass(frozen=True)
class ExpiredDay:
    """A day that only the lake has. ``high``: raw rows with a smaller ``ingest_xid`` are in the lake.

    ``is_damaged``: when somebody last looked, the lake did not hold the day as it should. ``checksum``: of
    all its values (``pipeline.lake.contents``); None: not known.
    """

    usage_count: int
    high: int
    is_damaged: bool = False
    checksum: int | None = None


def expired_days(connection: Connection) -> dict[dt.date, ExpiredDay]:
    """The days whose raw rows the retention job removes."""
    rows = connection.execute(select(stats_expired_day))
    return {
        row.day: ExpiredDay(row.usage_count, row.high, row.damaged_at is not None, row.checksum)
        for row in rows
    }


def record_damage(connection: Connection, days: Collection[dt.date], damaged: Collection[dt.date]) -> None:
    """Records which of the expired days among ``days`` the lake no longer has completely."""
    day, damaged_at = stats_expired_day.c.day, stats_expired_day.c.damaged_at
    found = case((day.in_(damaged), func.coalesce(damaged_at, func.now())), else_=None)
    connection.execute(update(stats_expired_day).where(day.in_(days)).values(damaged_at=found))


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


def read_again(connection: Connection, days: Iterable[dt.date], operation: str = "RECOUNT") -> None:
    """Notes days that the next sync has to read completely."""
    connection.execute(
        prompt_usage_invalidation.insert(), [{"day": day, "operation": operation} for day in days]
    )


@contextmanager
def usage_events(
    database: Database,
    snapshot: Snapshot,
    marks: Mapping[dt.date, int],
    first_day: dt.date,
    *,
    max_rows_per_second: int | None = None,
    passed: Callable[[int], object] = lambda _rows: None,
    has_index: bool = True,
) -> Iterator[pa.RecordBatchReader]:
    """A stream of the events of some days, each above its day's mark and below ``high``.

    ``marks`` has one entry per day, :data:`WHOLE_DAY` for a day that is wanted whole. Columns as in
    ``sql/lake/usage_events.sql``. ``passed`` is told with each batch how many rows have come so far.
    ``has_index``: whether an index may be used to find them (``pipeline.lake.range_index``).

    :raises DatabaseUnavailableError: the read was broken off by what passes, a lost connection or a replica
        that had to go on; whatever the block made of that.
    :raises DatabaseError: the events can't be read.
    """
    import adbc_driver_manager
    import pyarrow as pa

    settings = {
        "high": str(snapshot.high),
        "first_day": first_day.isoformat(),
        "from_day": min(marks).isoformat(),
        "to_day": max(marks).isoformat(),
        "lowest_mark": str(min(marks.values())),
        "days": json.dumps([{"day": day.isoformat(), "mark": mark} for day, mark in marks.items()]),
    }
    attempted = f"Reading the events of {min(marks)} to {max(marks)}"
    fault: adbc_driver_manager.Error | None = None

    def batches(reader: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal fault
        count = 0
        try:
            for batch in paced(reader, max_rows_per_second):
                count += batch.num_rows
                passed(count)
                yield batch
        except adbc_driver_manager.Error as error:
            # Whoever takes the batches sees a text of it, at most.
            fault = error
            raise

    try:
        with database.adbc(attempted) as connection, connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute("SELECT set_config($1, $2, true)", (f"prompt_stats.{name}", value))
                cursor.fetchall()
            if not has_index:
                cursor.execute(WITHOUT_INDEX)
                cursor.fetchall()
            if max_rows_per_second:
                size = {"adbc.postgresql.batch_size_hint_bytes": str(batch_bytes(max_rows_per_second))}
                cursor.adbc_statement.set_options(**size)
            cursor.execute(USAGE_EVENTS)
            # What fetch_record_batch() gives has errors without their SQLSTATE: apache/arrow-adbc#1523.
            reader = cursor._results.reader  # type: ignore[union-attr]  # there are, after execute()
            yield pa.RecordBatchReader.from_batches(reader.schema, batches(reader))
    except Exception as error:
        if fault and is_transient(fault):
            raise bulk_error(fault, attempted) from error
        raise
