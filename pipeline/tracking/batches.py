"""Appends many events at once, by COPY."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from psycopg.errors import FeatureNotSupported, UniqueViolation, UntranslatableCharacter
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from pipeline import sessions
from pipeline.queries import query
from pipeline.tracking.connection import is_outage
from pipeline.tracking.encodings import fitted
from pipeline.tracking.event import Event, Record

COPY_EVENTS = query("postgres/copy_events")
CREATE_GIVEN_EVENTS = query("postgres/create_given_events")
COPY_GIVEN_EVENTS = query("postgres/copy_given_events")
COPY_GIVEN_EVENTS_AS_TEXT = query("postgres/copy_given_events_as_text")
USAGE_TYPES = query("postgres/usage_types")
APPEND_GIVEN_EVENTS = query("postgres/append_given_events")

# Of the columns of create_given_events.sql: those of an event, then a rejected event's.
_EVENT_TYPES = ("uuid", "uuid", "text", *["uuid"] * 4, *["text"] * 3, "bool", "int4", "text", "timestamptz")
_SLUG = 2
_COLUMN_TYPES = (*_EVENT_TYPES[:_SLUG], *_EVENT_TYPES[_SLUG + 1 :])
_TYPES = (*_EVENT_TYPES, "text", "jsonb")
_NOT_REJECTED = (None, None)
_NO_EVENT = (None,) * (len(_EVENT_TYPES) - 1)


_OURS: WeakKeyDictionary[psycopg.Connection[Any], bool] = WeakKeyDictionary()

Rejections = dict[uuid.UUID, str]
"""The reasons of the events that could not be taken, by event id."""


def append_events(connection: psycopg.Connection[Any], records: Sequence[Record]) -> Rejections:
    """Appends events, and keeps rejected ones; returns those that are rejected now.

    What is there already, by its event id, changes nothing. An event whose slug no prompt has, or that the
    database refuses, is kept as a rejected one.

    :raises psycopg.Error: the database is out of reach, or takes an event not even as a rejected one; some
        may have been appended.
    """
    try:
        return _append_batch(connection, records)
    except psycopg.Error as error:
        if is_outage(error):
            raise
        if len(records) > 1:
            # One of them is at fault: the halves are tried, down to that one.
            middle = len(records) // 2
            return append_events(connection, records[:middle]) | append_events(connection, records[middle:])
        record = records[0]
        fitting = _fitting(connection, record, error)
        if fitting != record:
            return append_events(connection, [fitting])
        if not isinstance(record, Event):
            raise
        reason = f"the database refused it: {error.diag.message_primary or error}"
    return append_events(connection, [record.rejected(reason)])


def _fitting(connection: psycopg.Connection[Any], record: Record, error: psycopg.Error) -> Record:
    """The record with texts that the database's encoding can hold, if that is what the error is about."""
    if not isinstance(error, UntranslatableCharacter):
        return record
    return fitted(record, connection.info.parameter_status("server_encoding") or "")


def _append_batch(connection: psycopg.Connection[Any], records: Sequence[Record]) -> Rejections:
    """The same in one transaction, or savepoint: all or nothing."""
    is_ours = _has_our_types(connection)
    if is_ours and all(isinstance(record, Event) and record.slug is None for record in records):
        with suppress(UniqueViolation):
            _copy(connection, records)
            return {}
    # Some events are there already, or need a look at the prompts: COPY can do neither.
    with sessions.transaction(connection), connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(CREATE_GIVEN_EVENTS)
        with cursor.copy(COPY_GIVEN_EVENTS if is_ours else COPY_GIVEN_EVENTS_AS_TEXT) as copy:
            if is_ours:
                copy.set_types(_TYPES)
            for record in records:
                copy.write_row(_row(record))
        return dict(cursor.execute(APPEND_GIVEN_EVENTS).fetchall())


def _has_our_types(connection: psycopg.Connection[Any]) -> bool:
    """Whether values can be sent in binary form; looked up once a connection.

    :raises psycopg.Error: an event's id, which is a UUID, has no place in the app's table.
    """
    if connection not in _OURS:
        with sessions.transaction(connection), connection.cursor(row_factory=tuple_row) as cursor:
            is_our_own, id_type = cursor.execute(USAGE_TYPES).fetchone() or (False, None)
        if id_type not in ("uuid", "text", "character varying"):
            raise FeatureNotSupported(
                f"prompt_usage.id is of type {id_type}, and this writes UUIDs:"
                " have the app insert its events itself (docs/adoption.md)"
            )
        _OURS[connection] = is_our_own
    return _OURS[connection]


def _copy(connection: psycopg.Connection[Any], events: Sequence[Record]) -> None:
    """Half again as fast as by way of the temporary table, and all that most batches need."""
    with (
        sessions.transaction(connection),
        connection.cursor() as cursor,
        cursor.copy(COPY_EVENTS) as copy,
    ):
        copy.set_types(_COLUMN_TYPES)
        for event in events:
            row = msgspec.structs.astuple(event)
            copy.write_row(row[:_SLUG] + row[_SLUG + 1 :])


def _row(record: Record) -> tuple[object, ...]:
    if isinstance(record, Event):
        return msgspec.structs.astuple(record) + _NOT_REJECTED
    return (record.event_id, *_NO_EVENT, record.reason, Jsonb(record.payload))
