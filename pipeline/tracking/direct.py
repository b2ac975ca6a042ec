"""One event, one INSERT, at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar, cast

import msgspec
import psycopg
from psycopg.errors import UntranslatableCharacter
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from pipeline import sessions
from pipeline.queries import query
from pipeline.tracking.connection import ImpatientConnection, is_outage
from pipeline.tracking.encodings import fitted
from pipeline.tracking.event import Event, Record, RejectedEvent

INSERT_EVENT = query("postgres/insert_prompt_usage")
INSERT_EVENT_BY_SLUG = query("postgres/insert_prompt_usage_by_slug")
INSERT_REJECTED = query("postgres/insert_prompt_usage_rejected")

CONNECT_SECONDS = 0.5
"""Longest wait for a connection; one that takes longer is made in the background, for the next event."""

RECONNECT_SECONDS = 5.0
"""The pool's own attempts back off up to minutes; past this, the next event starts new ones."""


Written = TypeVar("Written", Event, RejectedEvent)
Result = TypeVar("Result")


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

    def insert(self, record: Record) -> RejectedEvent | None:
        """Writes a record where it belongs. An event that the database refuses becomes a rejected one, and
        is returned.

        :raises psycopg.Error: the database is out of reach, locked or stalled.
        """
        rejected = self._append(record) if isinstance(record, Event) else record
        if rejected is not None:
            self._fitting(self._keep, rejected)
        return rejected

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close(timeout=1.0)

    def _append(self, event: Event) -> RejectedEvent | None:
        statement = INSERT_EVENT if event.slug is None else INSERT_EVENT_BY_SLUG
        try:
            row = self._fitting(lambda fitting: self._execute(statement, _untyped(fitting)), event)
        except psycopg.Error as error:
            if is_outage(error):
                raise
            return event.rejected(f"the database refused it: {error.diag.message_primary or error}")
        if row is not None and not row[0]:
            return event.rejected(f"no prompt has the slug {event.slug!r}")
        return None

    def _keep(self, rejected: RejectedEvent) -> None:
        values = {
            "event_id": rejected.event_id,
            "reason": rejected.reason,
            "payload": Jsonb(rejected.payload),
        }
        self._execute(INSERT_REJECTED, values)

    def _fitting(self, write: Callable[[Written], Result], record: Written) -> Result:
        """Writes a record; again if the database's encoding can't hold its texts, with those that it can."""
        try:
            return write(record)
        except UntranslatableCharacter:
            with self._pool.connection() as connection:
                encoding = connection.info.parameter_status("server_encoding")
            return write(cast("Written", fitted(record, encoding or "")))

    def _execute(self, statement: str, parameters: Mapping[str, object]) -> TupleRow | None:
        """Runs one statement in a transaction of its own; its first row, if it returns rows."""
        if self._pool.closed:
            self._pool.open()
        # Event ids make it safe to repeat a statement whose answer was lost.
        return sessions.run_on(self._pool, lambda connection: sessions.run(connection, statement, parameters))


def _untyped(event: Event) -> dict[str, object]:
    """The event as parameters, with ids as text: the app's columns may be of another type than UUID."""
    values = msgspec.structs.asdict(event)
    return {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in values.items()}
