"""The publish transaction.

It takes its own watermark, reads the daily partials, and derives from their ledger what they contain;
what other runs do to the lake meanwhile can delay a number, never falsify one. Progress is part of the
same commit: the watermark moves only past rows that the published numbers contain.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow.dataset as ds
from adbc_driver_manager.dbapi import Connection as AdbcConnection
from sqlalchemy import Connection, Table, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from pipeline import tables
from pipeline.database import Database, Lock, lock_transaction
from pipeline.days import ONE_DAY, DayRange
from pipeline.engines import duckdb_engine
from pipeline.lake import source
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import open_partials
from pipeline.publish.copy import copy_frame, read_table, replace_groups
from pipeline.queries import query
from pipeline.stats import frames
from pipeline.stats.changes import changed_groups

logger = logging.getLogger(__name__)

PENDING_DAYS = text(query("postgres/pending_days"))
CLEAR_INVALIDATIONS = text(query("postgres/clear_invalidations"))
KNOWN_AS_OF = text(query("postgres/known_as_of"))
FAVORITE_COUNTS = text(query("postgres/prompt_favorite_counts"))
USER_FAVORITES = text(query("postgres/user_favorites"))
PROMPTS_WRITE_BACK = text(query("postgres/prompts_write_back"))
CREATE_PROMPTS_CHANGED = text(query("postgres/create_prompts_changed"))
WRITE_BACK_PROMPTS = text(query("postgres/write_back_prompts"))

NOTHING_KNOWN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""The ``as_of`` of stats of which nothing is known to be complete."""

GROUP_COLUMNS = {
    "prompt_stats": "prompt_id",
    "prompt_scene_stats": "prompt_id",
    "prompt_environment_stats": "prompt_id",
    "prompt_outfit_stats": "prompt_id",
    "scene_stats": "scene",
    "prompt_daily_stats": "day",
    "user_prompt_stats": "user_id",
    "prompt_error_stats": "prompt_id",
}
"""Rows with the same value of this column are replaced together."""


@dataclass
class PublishReport:
    """What a publish did: the row of ``stats_refresh``, but for its id."""

    high: int
    as_of: dt.datetime
    lag_seconds: float
    usage_count: int
    held_back_count: int
    pending_days: list[dt.date]
    rows_written: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def publish(database: Database, lake: str, first_day: dt.date, run_id: str | None = None) -> PublishReport:
    """Recomputes the stats from the daily partials and writes what changed, in one transaction."""
    seconds: dict[str, float] = {}
    with database.engine.begin() as connection:
        with _timed(seconds, "wait"):
            lock_transaction(connection, Lock.PUBLISH)
        with _timed(seconds, "progress"):
            snapshot = source.take_snapshot(connection)
            previous = source.progress_since(connection, snapshot)
            partials = open_partials(lake)
            held = partials.days()
            progress = _progress(connection, snapshot, previous, held, first_day)
        with _timed(seconds, "merge"):
            wanted, days = _wanted(connection, partials, progress.as_of)
            stale = _changed_days(connection, held)
        report = PublishReport(
            high=progress.high,
            as_of=progress.as_of,
            lag_seconds=max((snapshot.taken_at - progress.as_of).total_seconds(), 0.0),
            usage_count=int(days["usage_count"].sum()),
            held_back_count=source.held_back_count(connection, snapshot),
            pending_days=progress.pending,
            seconds=seconds,
        )
        # The lock keeps others from writing these tables, so a second connection reads what we would.
        with _timed(seconds, "write"), database.adbc() as reader:
            for table in tables.STATS_TABLES:
                report.rows_written[table.name] = _write(
                    reader, connection, table, wanted[table.name], stale, progress.as_of
                )
            report.rows_written["prompts"] = _write_back(connection, wanted["prompt_stats"], progress.as_of)
            _write_days(connection, held, days, stale)
        connection.execute(
            insert(tables.stats_refresh).values(
                high=progress.high,
                next_xid=snapshot.next_xid,
                as_of=progress.as_of,
                started_at=snapshot.taken_at,
                published_at=func.clock_timestamp(),
                open_until=progress.open_until,
                usage_count=report.usage_count,
                held_back_count=report.held_back_count,
                pending_days=[day.isoformat() for day in progress.pending],
                rows_written=report.rows_written,
                seconds={name: round(value, 4) for name, value in seconds.items()},
                run_id=run_id,
            )
        )
    logger.info("published %d events as of %s: %s", report.usage_count, report.as_of, json.dumps(seconds))
    return report


@dataclass(frozen=True)
class _Progress:
    high: int
    as_of: dt.datetime
    open_until: dt.date
    pending: list[dt.date]


def _progress(
    connection: Connection,
    snapshot: source.Snapshot,
    previous: Mapping[str, Any] | None,
    held: pl.DataFrame,
    first_day: dt.date,
) -> _Progress:
    """How far the partials go, and forgets the notes of changes that they contain.

    ``held``: what the partials hold, day by day, as ``DailyTable.days`` says.

    ``high`` is the smallest id of a row that they lack, or else the snapshot's. ``open_until`` stays
    before the first newly opened day of which rows are lacking.
    """
    marks = dict(held.select("day", "mark").iter_rows())
    lacking = connection.execute(
        PENDING_DAYS,
        {
            "since": previous["high"] if previous else 0,
            "high": snapshot.high,
            "open_until": snapshot.open_until,
            "first_day": first_day,
            "days": list(marks),
            "marks": list(marks.values()),
        },
    ).all()
    replaced_from = dict(held.select("day", "synced_high").iter_rows())
    noted = source.invalidated_days(connection, first_day)
    # Of a day without partials the stats say nothing; that is right if it has no rows, or is not open yet.
    absent = {day: source.WHOLE_DAY for day in noted if day is not None and day not in replaced_from}
    unread = source.unread_days(connection, snapshot, absent, first_day)
    emptied = {day: snapshot.high for day in absent if day not in unread or day > snapshot.open_until}
    known = {**replaced_from, **emptied}
    connection.execute(
        CLEAR_INVALIDATIONS,
        {
            "days": list(known),
            "replaced_from": list(known.values()),
            "all_replaced_from": min(replaced_from.values(), default=snapshot.high),
            "first_day": first_day,
        },
    )
    changed = source.invalidated_days(connection, first_day)
    pending = {row.day for row in lacking} | {
        day or first_day for day, xid in changed.items() if xid < snapshot.high
    }
    open_until = snapshot.open_until
    if previous and previous["open_until"] < snapshot.open_until:
        opening = DayRange(previous["open_until"] + ONE_DAY, open_until)
        opened = {day: marks.get(day, source.WHOLE_DAY) for day in opening.days()}
        unread = source.unread_days(connection, snapshot, opened, first_day)
        if unread:
            open_until = min(unread) - ONE_DAY
            pending |= unread.keys()
    high = min((row.first_xid for row in lacking), default=snapshot.high)
    published = set(connection.scalars(select(tables.stats_day.c.day)))
    gone = {day: source.WHOLE_DAY for day in published if day not in marks}
    lost = source.unread_days(connection, snapshot, gone, first_day)
    if lost:
        # The lake lost days that Postgres still has: the next refresh has to look at everything.
        high = 0
        pending |= lost.keys()
    known_as_of = connection.execute(KNOWN_AS_OF, {"high": high}).scalar_one() or NOTHING_KNOWN
    if pending:
        as_of = previous["as_of"] if previous else NOTHING_KNOWN
    else:
        as_of = max(snapshot.as_of, known_as_of)
    return _Progress(high, as_of, open_until, sorted(pending))


def _wanted(
    connection: Connection, partials: DailyTable, as_of: dt.datetime
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Each stats table as it shall be, but for ``stats_as_of``; and the events by day and prompt."""
    totals = duckdb_engine.run("prompt_usage_total", partials=partials.read())
    days = pl.DataFrame(partials.read().filter(ds.field("dimension") == "prompt").to_table())
    prompts = _frame(connection, FAVORITE_COUNTS, {"prompt_id": pl.String, "favorite_count": pl.Int64})
    favorites = _frame(connection, USER_FAVORITES, {"user_id": pl.String, "prompt_id": pl.String})
    today = as_of.astimezone(dt.UTC).date()
    wanted = {
        "prompt_stats": frames.prompt_stats(totals, days, prompts, today),
        "prompt_scene_stats": frames.value_stats(totals, "scene"),
        "prompt_environment_stats": frames.value_stats(totals, "environment"),
        "prompt_outfit_stats": frames.value_stats(totals, "outfit"),
        "scene_stats": frames.scene_stats(totals),
        "prompt_daily_stats": frames.prompt_daily_stats(days),
        "user_prompt_stats": frames.user_prompt_stats(totals, favorites),
        "prompt_error_stats": frames.prompt_error_stats(totals),
    }
    return wanted, days


def _changed_days(connection: Connection, held: pl.DataFrame) -> list[dt.date]:
    """The days whose partials are not those that the published stats were made from."""
    published = _frame(
        connection,
        select(tables.stats_day.c.day, tables.stats_day.c.events_version),
        {"day": pl.Date, "events_version": pl.Int64},
    )
    now = held.select("day", "events_version")
    return sorted(changed_groups(published, now, "day").groups.to_list())


def _write(
    reader: AdbcConnection,
    connection: Connection,
    table: Table,
    wanted: pl.DataFrame,
    stale: list[dt.date],
    as_of: dt.datetime,
) -> int:
    where = None
    if table is tables.prompt_daily_stats:
        # As large as the history: only the days whose partials changed are looked at.
        if not stale:
            return 0
        where = table.c.day.in_(stale)
        wanted = wanted.filter(pl.col("day").is_in(stale))
    published = read_table(reader, table, wanted.columns, where)
    changes = changed_groups(published, wanted.cast(published.schema), GROUP_COLUMNS[table.name])
    if "stats_as_of" in table.c:
        changes = changes._replace(rows=changes.rows.with_columns(stats_as_of=pl.lit(as_of)))
    return replace_groups(connection, table, GROUP_COLUMNS[table.name], changes)


def _write_back(connection: Connection, prompt_stats: pl.DataFrame, as_of: dt.datetime) -> int:
    """Updates the counters in ``prompts`` that differ; returns the number of prompts updated."""
    columns = {
        "prompt_id": pl.String,
        "usage_count": pl.Int64,
        "success_count": pl.Int64,
        "failure_count": pl.Int64,
        "success_rate": pl.Float64,
        "avg_generation_time_ms": pl.Float64,
        "last_used_at": pl.Datetime("us", "UTC"),
        "favorite_count": pl.Int64,
    }
    current = _frame(connection, PROMPTS_WRITE_BACK, columns)
    wanted = prompt_stats.select(*columns).join(current.select("prompt_id"), on="prompt_id", how="semi")
    changed = changed_groups(current, wanted, "prompt_id").rows
    if changed.is_empty():
        return 0
    connection.execute(CREATE_PROMPTS_CHANGED)
    copy_frame(connection, "prompts_changed", changed)
    return connection.execute(WRITE_BACK_PROMPTS, {"as_of": as_of}).rowcount


def _write_days(connection: Connection, held: pl.DataFrame, days: pl.DataFrame, stale: list[dt.date]) -> None:
    counts = days.group_by("day").agg(pl.col("usage_count").sum())
    rows = (
        held.drop("usage_count")
        .filter(pl.col("day").is_in(stale))
        .join(counts, on="day")
        .select("day", "usage_count", ingest_xid="mark", events_version="events_version")
    )
    table = tables.stats_day
    gone = set(stale) - set(rows["day"])
    if gone:
        connection.execute(table.delete().where(table.c.day.in_(gone)))
    if rows.height:
        statement = upsert(table).values(rows.to_dicts())
        others = {column.name: statement.excluded[column.name] for column in table.c if column.name != "day"}
        connection.execute(statement.on_conflict_do_update(index_elements=["day"], set_=others))


def _frame(connection: Connection, statement: Any, schema: Mapping[str, Any]) -> pl.DataFrame:
    rows = connection.execute(statement).all()
    return pl.DataFrame([tuple(row) for row in rows], schema=dict(schema), orient="row")


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - start
