"""Writes each event immediately, with one INSERT."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from psycopg_pool import ConnectionPool

from pipeline.database import sessions
from pipeline.tracking.batches import (
    INSERT_REJECTED,
    encodable,
    fault_on,
    prepared,
    refusal,
    values_of_rejected,
)
from pipeline.tracking.connection import ImpatientConnection
from pipeline.tracking.event import Event, Record, RejectedEvent
from pipeline.tracking.faults import Fault
from pipeline.tracking.usage_table import forget_table, usage_table

CONNECT_SECONDS = 0.5
"""The longest wait for a connection. A slower one is opened in the background, for the next event."""

RECONNECT_SECONDS = 5.0
"""The pool's own attempts back off up to minutes; past this, the next event starts new ones."""


class _CallersConnection(ImpatientConnection):
    statement_seconds = 1.0


class Inserter:
    """Inserts one event after the other, from any thread; each call costs one round trip.

    Nothing is opened before the first event.
    """

    def __init__(self, address: Callable[[], str], settings: sessions.Settings) -> None:
        """``address`` gives the database's; ``settings`` are what sessions there have to be."""
        self._pool = ConnectionPool(
            address,
            connection_class=_CallersConnection,
            # Prepared statements fail behind poolers that change the server connection between them.
            kwargs={"autocommit": True, "prepare_threshold": None},
            configure=partial(sessions.configure, settings=settings),
            min_size=1,
            max_size=4,
            open=False,
            name="prompt-tracker",
            timeout=CONNECT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
        )

    def insert(self, record: Record) -> tuple[RejectedEvent | None, tuple[str, ...]]:
        """Writes a record. Returns a rejected event if the database refuses it, or else the notes on what was
        corrected or left out.

        :raises psycopg.Error: the database is out of reach, locked or stalled, or takes no event.
        """
        if self._pool.closed:
            self._pool.open()
        # Event ids make it safe to repeat what was done, if only the answer was lost.
        rejected, notes = sessions.run_on(self._pool, lambda connection: _append(connection, record))
        if rejected is not None:
            sessions.run_on(self._pool, lambda connection: _keep(connection, rejected))
        return rejected, notes

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close(timeout=1.0)


def _append(connection: _CallersConnection, record: Record) -> tuple[RejectedEvent | None, tuple[str, ...]]:
    if not isinstance(record, Event):
        return record, ()
    try:
        return _insert(connection, record)
    except Exception as error:
        if fault_on(connection, error) is not Fault.EVENT:
            forget_table(connection)
            raise
        if (encoded := encodable(connection, record, error)) != record:
            return _append(connection, encoded)
        return record.rejected(refusal(error)), ()


def _insert(connection: _CallersConnection, record: Event) -> tuple[RejectedEvent | None, tuple[str, ...]]:
    table = usage_table(connection)
    # Behind a pooler a look at the prompts needs a transaction to know where they are.
    is_alone = record.slug is None and table.has_uuid_prompts
    is_quick = table.is_key_unique and (is_alone or not sessions.is_shared(connection))
    with nullcontext() if is_quick else sessions.transaction(connection):
        events, rejected = prepared(connection, [record])
        table.lock_keys(connection, [event.values for _, event in events.values()])
        for _, event in events.values():
            sessions.run(connection, table.statements(event.values).insert, event.values)
    return rejected.get(0), tuple(note for _, event in events.values() for note in event.notes)


def _keep(connection: _CallersConnection, rejected: RejectedEvent) -> None:
    try:
        sessions.run(connection, INSERT_REJECTED, values_of_rejected(rejected))
    except Exception as error:
        encoded = encodable(connection, rejected, error)
        if encoded == rejected or not isinstance(encoded, RejectedEvent):
            raise
        _keep(connection, encoded)
