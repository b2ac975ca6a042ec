"""Events that could not be taken: shown, tried again, discarded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import func, select, text

from pipeline.database import Database
from pipeline.queries import query
from pipeline.tables import prompt_usage_rejected
from pipeline.tracking.batches import append_events
from pipeline.tracking.event import Record, read_given

REJECTED_EVENTS = text(query("postgres/rejected_events"))
TAKE_REJECTED_EVENTS = query("postgres/take_rejected_events")

EVENTS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Rejections:
    """``events``: the latest, as in ``sql/postgres/rejected_events.sql``. ``reasons``: how often each is."""

    count: int
    reasons: dict[str, int]
    events: list[dict[str, Any]]


@dataclass(frozen=True)
class ReplayReport:
    """``taken``: events that are in ``prompt_usage`` now. ``rejected``: those that are wrong still."""

    taken: int
    rejected: int


def rejections(database: Database, limit: int) -> Rejections:
    """What was rejected, and why."""
    reason = prompt_usage_rejected.c.reason
    with database.engine.connect() as connection:
        rows = connection.execute(select(reason, func.count()).group_by(reason).order_by(func.count().desc()))
        reasons = {row[0]: row[1] for row in rows}
        events = [dict(row) for row in connection.execute(REJECTED_EVENTS, {"limit": limit}).mappings()]
    return Rejections(sum(reasons.values()), reasons, events)


def replay(database: Database, ids: Sequence[int] | None = None) -> ReplayReport:
    """Tracks rejected events again, with their own time and event id; without ``ids``, all of them.

    What is wrong still is rejected again, under a new id, with today's reason. Stopping half-way loses and
    doubles nothing.
    """
    taken = rejected = 0
    with database.connect() as connection:
        for rows in _parts(connection, ids):
            appended = append_events(connection, [_read(payload) for _, payload in rows])
            rejected_now = len(appended.rejected)
            connection.commit()
            rejected += rejected_now
            taken += len(rows) - rejected_now
    return ReplayReport(taken, rejected)


def _read(payload: Any) -> Record:
    """The event of a payload. Whoever may write the table may have put any JSON there."""
    return read_given(payload if isinstance(payload, dict) else {"payload": payload})


def discard(database: Database, ids: Sequence[int] | None = None) -> int:
    """Deletes rejected events for good; returns how many."""
    discarded = 0
    with database.connect() as connection:
        for rows in _parts(connection, ids):
            connection.commit()
            discarded += len(rows)
    return discarded


def _parts(connection: psycopg.Connection[TupleRow], ids: Sequence[int] | None) -> Iterator[list[TupleRow]]:
    """Takes them some at a time, none twice: those that are rejected again have higher ids."""
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM prompt_usage_rejected").fetchone() or (0,)
    after = 0
    while after < last:
        given = {"after": after, "last": last, "ids": ids and list(ids), "limit": EVENTS_AT_ONCE}
        rows = connection.execute(TAKE_REJECTED_EVENTS, given).fetchall()
        if not rows:
            break
        after = max(row[0] for row in rows)
        yield rows
