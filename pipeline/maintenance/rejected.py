"""Lists, replays and discards rejected events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import func, select, text

from pipeline.database.connections import Database
from pipeline.database.queries import query
from pipeline.database.tables import prompt_usage_rejected
from pipeline.tracking.batches import append_events
from pipeline.tracking.event import Record, cut, read_event, read_given
from pipeline.tracking.given_json import UNREADABLE, decode

REJECTED_EVENTS = text(query("maintenance/rejected_events"))
TAKE_REJECTED_EVENTS = query("maintenance/take_rejected_events")

EVENTS_PER_BATCH = 5_000

REASON_SHOWN_LENGTH = 1_000
PAYLOAD_SHOWN_LENGTH = 20_000
"""Characters: whoever may write the table may have put anything there."""


@dataclass(frozen=True)
class Rejections:
    """``events``: the latest, as in ``sql/maintenance/rejected_events.sql``. ``reasons``: how often each is.

    A payload is a text where it is too long to be shown, or can't be read.
    """

    count: int
    reasons: dict[str, int]
    events: list[dict[str, Any]]


@dataclass(frozen=True)
class ReplayReport:
    """``taken``: events that are in ``prompt_usage`` now. ``rejected``: those that are wrong still."""

    taken: int
    rejected: int


def rejections(database: Database, limit: int) -> Rejections:
    """The rejected events, with the reasons."""
    reason = func.left(prompt_usage_rejected.c.reason, REASON_SHOWN_LENGTH)
    with database.engine.connect() as connection:
        counts = select(reason, func.count()).group_by(text("1")).order_by(func.count().desc())
        reasons = {row[0]: row[1] for row in connection.execute(counts)}
        # One character more says that it was cut.
        given = {"limit": limit, "reason": REASON_SHOWN_LENGTH, "payload": PAYLOAD_SHOWN_LENGTH + 1}
        rows = connection.execute(REJECTED_EVENTS, given).mappings()
        events = [{**row, "payload": _shown(row["payload"])} for row in rows]
    return Rejections(sum(reasons.values()), reasons, events)


def replay(database: Database, ids: Sequence[int] | None = None) -> ReplayReport:
    """Tracks rejected events again with their own time and event id: those of ``ids``, or all of them.

    Events that are still wrong are rejected again, with a new id and the present reason. If it is
    interrupted, no event is lost or counted twice.
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


def _shown(payload: str) -> object:
    if len(payload) > PAYLOAD_SHOWN_LENGTH:
        return cut(payload, PAYLOAD_SHOWN_LENGTH)
    try:
        return decode(payload.encode())
    except UNREADABLE:
        return payload


def _read(payload: str) -> Record:
    """The event of a payload, which may be any JSON, since others may write the table, too."""
    try:
        values = decode(payload.encode())
    except UNREADABLE:
        values = None
    if isinstance(values, dict):
        return read_given(values)
    return read_event({"payload": payload}, {"payload": "is no JSON object"})


def discard(database: Database, ids: Sequence[int] | None = None) -> int:
    """Deletes rejected events for good, and returns how many."""
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
        given = {"after": after, "last": last, "ids": ids and list(ids), "limit": EVENTS_PER_BATCH}
        rows = connection.execute(TAKE_REJECTED_EVENTS, given).fetchall()
        if not rows:
            break
        after = max(row[0] for row in rows)
        yield rows
