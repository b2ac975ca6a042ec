"""Determines how far the published stats go, by comparing the partials with Postgres."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from pipeline.database.queries import query
from pipeline.days import NOTHING_KNOWN, ONE_DAY, DayRange
from pipeline.lake import source
from pipeline.publish.guard import require_progress, require_published_days

PENDING_DAYS = text(query("publish/pending_days"))
CLEAR_INVALIDATIONS = text(query("publish/clear_invalidations"))
KNOWN_AS_OF = text(query("publish/known_as_of"))


@dataclass(frozen=True)
class Progress:
    """``high``, ``as_of`` and ``open_until`` as in ``stats_refresh``; ``pending``: days that lack something
    that was there when the lake was last brought up to date.
    """

    high: int
    as_of: dt.datetime
    open_until: dt.date
    pending: list[dt.date]


def take_progress(
    connection: Connection,
    snapshot: source.Snapshot,
    held: pl.DataFrame,
    stale: Collection[dt.date],
    first_day: dt.date,
    as_of_limit: dt.datetime | None,
) -> Progress:
    """The progress of stats made from these partials. It deletes the notes of changes that they contain.

    ``held``: what the partials hold, day by day, as ``DailyTable.days`` says. ``stale``: the days whose
    partials are older than their raw events in the lake. ``as_of_limit``: until when no change of the raw
    rows can have gone unnoticed; None if none ever can.

    ``high`` is the smallest id of a row that they lack, or else the snapshot's. ``open_until`` stays
    before the first newly opened day of which rows are lacking.

    :raises LakeError: the lake is not fit to be published; the published stats are to stay.
    """
    previous = source.latest_refresh(connection)
    require_progress(snapshot, previous)
    expired = source.expired_days(connection)
    marks: dict[dt.date, int] = dict(held.select("day", "mark").iter_rows())
    require_published_days(connection, held, expired, previous, first_day)
    counted = {**marks, **{day: kept.high - 1 for day, kept in expired.items()}}
    lacking = connection.execute(
        PENDING_DAYS,
        {
            "since": previous["high"] if previous else 0,
            "high": snapshot.high,
            "open_until": snapshot.open_until,
            "first_day": first_day,
            "marks": [
                counted.get(day) for day in DayRange(first_day, max(counted, default=first_day)).days()
            ],
        },
    ).all()
    changed = _forget_notes(connection, snapshot, held, expired, first_day)
    changed |= expired.keys() & set(stale)
    open_until, unopened = _open_until(connection, snapshot, previous, marks, first_day)
    high = min((row.first_xid for row in lacking), default=snapshot.high)
    # Rows that came after the sync are not late, only new.
    last_sync = source.latest_sync_high(connection) or snapshot.high
    late = {row.day for row in lacking if row.first_xid < last_sync}
    return Progress(
        high,
        _as_of(connection, snapshot, previous, high, as_of_limit, is_held=bool(changed or unopened)),
        open_until,
        sorted(late | changed | unopened),
    )


def _forget_notes(
    connection: Connection,
    snapshot: source.Snapshot,
    held: pl.DataFrame,
    expired: Mapping[dt.date, source.ExpiredDay],
    first_day: dt.date,
) -> set[dt.date]:
    """Deletes the notes of changes that the partials contain, and returns the days of the others."""
    replaced_from: dict[dt.date, int] = {
        day: high for day, high in held.select("day", "synced_high").iter_rows() if day not in expired
    }
    noted = source.invalidated_days(connection, first_day)
    # Of a day without partials the stats say nothing; that is right if it has no rows, or is not open yet.
    counted = replaced_from.keys() | expired.keys()
    absent = {day: source.WHOLE_DAY for day in noted if day is not None and day not in counted}
    unread = source.unread_days(connection, snapshot, absent, first_day)
    settled = {day for day in absent if day not in unread or day > snapshot.open_until}
    known = {
        **replaced_from,
        **dict.fromkeys(settled, snapshot.high),
        **{day: kept.high for day, kept in expired.items()},
    }
    connection.execute(
        CLEAR_INVALIDATIONS,
        {
            "days": list(known),
            "replaced_from": list(known.values()),
            "all_replaced_from": min(replaced_from.values(), default=snapshot.high),
            "first_day": first_day,
        },
    )
    left = source.invalidated_days(connection, first_day)
    return {day or first_day for day, xid in left.items() if xid < snapshot.high}


def _open_until(
    connection: Connection,
    snapshot: source.Snapshot,
    previous: Mapping[str, Any] | None,
    marks: Mapping[dt.date, int],
    first_day: dt.date,
) -> tuple[dt.date, set[dt.date]]:
    """The last day whose events are counted, and the newly opened days with missing rows."""
    if not previous or previous["open_until"] >= snapshot.open_until:
        return snapshot.open_until, set()
    opening = DayRange(previous["open_until"] + ONE_DAY, snapshot.open_until)
    opened = {day: marks.get(day, source.WHOLE_DAY) for day in opening.days()}
    unread = source.unread_days(connection, snapshot, opened, first_day)
    if unread:
        return min(unread) - ONE_DAY, set(unread)
    return snapshot.open_until, set()


def _as_of(
    connection: Connection,
    snapshot: source.Snapshot,
    previous: Mapping[str, Any] | None,
    high: int,
    limit: dt.datetime | None,
    *,
    is_held: bool,
) -> dt.datetime:
    """The moment before which all commits are counted. It never goes back."""
    before = previous["as_of"] if previous else NOTHING_KNOWN
    if is_held:
        return before
    known = connection.execute(KNOWN_AS_OF, {"high": high}).scalar_one()
    candidates = [known] if known else []
    candidates += [snapshot.as_of] if high == snapshot.high else []
    now = max(candidates, default=before)
    return max(before, min(now, limit) if limit else now)
