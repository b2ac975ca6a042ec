"""Appends many events at once, by COPY."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.errors import UniqueViolation, UntranslatableCharacter
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from pipeline.database import sessions
from pipeline.database.prompt_keys import NAMED_PROMPTS, Named, by_key
from pipeline.database.queries import query
from pipeline.tracking import encodings
from pipeline.tracking.event import Event, Record, RejectedEvent, no_prompt
from pipeline.tracking.faults import Fault, fault_of, said_by
from pipeline.tracking.fitting import Fitted, fitted, has_new_labels
from pipeline.tracking.usage_table import forget_table, usage_table

INSERT_REJECTED = query("tracking/insert_prompt_usage_rejected")


@dataclass(frozen=True)
class Appended:
    """Events that were not accepted as given, by their place among the given ones, since ids may repeat.

    ``rejected``: why an event was rejected. ``notes``: what was corrected or left out of an accepted event.
    """

    rejected: dict[int, str] = field(default_factory=dict)
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def followed_by(self, other: Appended, start: int) -> Appended:
        """Both: ``other`` is of the events from the place ``start`` on."""
        return Appended(
            self.rejected | {start + place: reason for place, reason in other.rejected.items()},
            self.notes | {start + place: notes for place, notes in other.notes.items()},
        )


def append_events(connection: psycopg.Connection[Any], records: Sequence[Record]) -> Appended:
    """Appends events, and stores rejected ones.

    An event whose id exists already changes nothing. An event with a slug that no prompt has, or that the
    database refuses, is stored as a rejected one.

    :raises psycopg.Error: the database is out of reach, or takes no event, or takes one not even as a
        rejected one (:func:`fault_on` says which); some may have been appended.
    """
    return _append(connection, records, takes_others=False)


def _append(
    connection: psycopg.Connection[Any], records: Sequence[Record], *, takes_others: bool
) -> Appended:
    """``takes_others``: the table takes events, so that what it does not take is at fault itself."""
    try:
        return _append_batch(connection, records)
    except Exception as error:
        fault = fault_on(connection, error)
        if fault is Fault.OUTAGE:
            raise
        if fault is Fault.TABLE and not takes_others:
            takes_others = len(records) > 1 and _takes_one(connection, records)
            if not takes_others:
                raise
        if len(records) > 1:
            # One of them is at fault: the halves are tried, down to that one.
            middle = len(records) // 2
            halves = records[:middle], records[middle:]
            first, second = (_append(connection, half, takes_others=takes_others) for half in halves)
            return first.followed_by(second, middle)
        record = records[0]
        if (encoded := encodable(connection, record, error)) != record:
            return _append(connection, [encoded], takes_others=takes_others)
        if not isinstance(record, Event):
            raise
        rejected = record.rejected(refusal(error))
    return _append(connection, [rejected], takes_others=False)


def _takes_one(connection: psycopg.Connection[Any], records: Sequence[Record]) -> bool:
    """Whether the table takes an event, any one: then it is not the table that is in the way of all.

    Of the events that the table would be asked to take: a rejected one, or one of no prompt, says nothing
    about it.
    """
    try:
        with sessions.transaction(connection):
            events, _ = prepared(connection, records)
            fitting = [each for _, each in events.values()]
            _append_fitted(connection, random.sample(fitting, min(len(fitting), 1)))
    except Exception:  # whatever it is: that it failed is the answer
        return False
    return bool(events)


def fault_on(connection: psycopg.Connection[Any], error: Exception) -> Fault:
    """Why events could not be appended on a connection: because of an event, the table or an outage."""
    try:
        foreign = usage_table(connection).foreign
    except Exception:  # the connection is lost, or there is no such table
        foreign = frozenset()
    return fault_of(error, foreign)


def encodable(connection: psycopg.Connection[Any], record: Record, error: Exception) -> Record:
    """The record with texts that the database's encoding can hold, if that is what the error is about."""
    if not isinstance(error, UntranslatableCharacter):
        return record
    return encodings.fitted(record, connection.info.parameter_status("server_encoding") or "")


def refusal(error: Exception) -> str:
    """The reason of a rejection by the database."""
    return f"the database refused it: {said_by(error)}"


def _append_batch(connection: psycopg.Connection[Any], records: Sequence[Record]) -> Appended:
    """The same in one transaction, or savepoint: all or nothing."""
    with sessions.transaction(connection):
        events, rejected = prepared(connection, records)
        _append_fitted(connection, [each for _, each in events.values()])
        keep_rejected(connection, [*rejected.values()])
        # What is deferred would fail at the commit, with all else of a transaction that goes on.
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    reasons = {place: each.reason for place, each in rejected.items()}
    return Appended(reasons, {place: each.notes for place, (_, each) in events.items() if each.notes})


Prepared = dict[int, tuple[Event, Fitted]]
"""Events and what the table takes of them, by place."""

Rejected = dict[int, RejectedEvent]


def prepared(connection: psycopg.Connection[Any], records: Sequence[Record]) -> tuple[Prepared, Rejected]:
    """The events as the table takes them, with the ids of their prompts; and those that can't be taken.

    Both by their place in ``records``. One that can't be taken, but is there already, is neither.
    """
    events, rejected = Prepared(), Rejected()
    if has_new_labels(records, usage_table(connection)):
        forget_table(connection)
    for place, record in enumerate(records):
        if isinstance(record, RejectedEvent):
            rejected[place] = record
            continue
        try:
            events[place] = record, fitted(record, usage_table(connection))
        except ValueError as error:
            rejected[place] = record.rejected(str(error))
    named, unknown = _named(connection, events)
    return named, dict(sorted((rejected | unknown).items()))


def _named(connection: psycopg.Connection[Any], events: Prepared) -> tuple[Prepared, Rejected]:
    """The events with the ids of their prompts; and those of no prompt, or of none for certain.

    One that is there already counts as it did, whatever became of its prompt since.
    """
    slugs = {each.slug for _, each in events.values() if each.slug is not None}
    found = prompts_named(connection, slugs) if slugs else {}
    named, unknown = Prepared(), Prepared()
    for place, (event, each) in events.items():
        prompts = found.get(each.slug or "", ())
        if each.slug is None:
            named[place] = event, each
        elif len(prompts) == 1:
            named[place] = event, each.of_prompt(prompts[0])
        else:
            unknown[place] = event, each
    are_there = _are_there(connection, [each for _, each in unknown.values()])
    return named, {
        place: event.rejected(no_prompt(each.slug, found.get(each.slug or "", ())))
        for (place, (event, each)), is_there in zip(unknown.items(), are_there, strict=True)
        if not is_there
    }


def prompts_named(connection: psycopg.Connection[Any], slugs: Iterable[str]) -> Named:
    """The ids of the prompts that each of some texts names equally well."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return by_key(cursor.execute(NAMED_PROMPTS, {"keys": list(slugs)}).fetchall())


def _are_there(connection: psycopg.Connection[Any], events: Sequence[Fitted]) -> list[bool]:
    if not events:
        return []
    with connection.cursor(row_factory=tuple_row) as cursor:
        statement = usage_table(connection).is_there
        cursor.executemany(statement, [each.values for each in events], returning=True)
        answers = [bool(is_there) for (is_there,) in cursor.fetchall()]
        while cursor.nextset():
            answers += [bool(is_there) for (is_there,) in cursor.fetchall()]
    return answers


def _append_fitted(connection: psycopg.Connection[Any], events: Sequence[Fitted]) -> None:
    """Appends events; those that leave the same columns to their defaults go together."""
    usage_table(connection).lock_keys(connection, [event.values for event in events])
    groups: dict[tuple[str, ...], list[tuple[object, ...]]] = {}
    for event in events:
        groups.setdefault(tuple(event.values), []).append(tuple(event.values.values()))
    for columns, rows in groups.items():
        _append_rows(connection, columns, rows)


def _append_rows(
    connection: psycopg.Connection[Any], columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> None:
    table = usage_table(connection)
    statements = table.statements(columns)
    if table.is_table:
        # Half again as fast as by way of the temporary table, and all that most batches need.
        with suppress(UniqueViolation):
            _copy(connection, statements.copy, rows)
            return
    # Some events are there already, which COPY can't skip.
    connection.execute(table.create_given)
    connection.execute(table.empty_given)
    _copy(connection, statements.copy_given, rows)
    connection.execute(statements.append_given)


def _copy(connection: psycopg.Connection[Any], statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def keep_rejected(connection: psycopg.Connection[Any], rejected: Sequence[RejectedEvent]) -> None:
    """Stores rejected events, each of them once."""
    if rejected:
        with connection.cursor() as cursor:
            cursor.executemany(INSERT_REJECTED, [values_of_rejected(each) for each in rejected])


def values_of_rejected(rejected: RejectedEvent) -> dict[str, object]:
    """The parameters of ``insert_prompt_usage_rejected.sql``."""
    return {"event_id": rejected.key, "reason": rejected.reason, "payload": Jsonb(rejected.payload)}
