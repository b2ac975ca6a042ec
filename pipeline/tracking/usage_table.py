"""The columns of the table of events, and the statements that write to it, looked up once per connection.

An app's table may have generated columns, ids of other types, and ids that the database makes.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg.errors import FeatureNotSupported
from psycopg.rows import class_row

from pipeline.database import sessions
from pipeline.database.queries import query
from pipeline.tracking.encodings import cut_mark
from pipeline.tracking.event import CUT_MARK

USAGE_COLUMNS = query("tracking/usage_columns")
INSERT_EVENT = query("tracking/insert_prompt_usage")
IS_EVENT_THERE = query("tracking/is_event_there")
COPY_EVENTS = query("tracking/copy_events")
CREATE_GIVEN_EVENTS = query("tracking/create_given_events")
COPY_EVENTS_BINARY = query("tracking/copy_events_binary")
COPY_GIVEN_EVENTS = query("tracking/copy_given_events")
APPEND_GIVEN_EVENTS = query("tracking/append_given_events")
INSERT_NEW_EVENT = query("tracking/insert_new_event")
APPEND_NEW_EVENTS = query("tracking/append_new_events")
LOCK_EVENT_KEYS = query("tracking/lock_event_keys")
EMPTY_GIVEN_EVENTS = query("tracking/empty_given_events")

EVENT_KEY = "event_key"
"""The column for the event's id where ``id`` can't hold it; ``migrate`` adds it there."""

FIELDS = {
    "id": "event_id",
    EVENT_KEY: "event_id",
    **{
        name: name
        for name in (
            *("prompt_id", "user_id", "character_id", "post_id", "job_id"),
            *("scene", "environment", "outfit"),
            *("success", "generation_time_ms", "error_message", "created_at"),
        )
    },
}
"""The columns that are written, by our names, and what of an event goes there."""

WHOLE = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
"""Types of whole numbers: values are below this, and not below its negative."""


class ColumnType(NamedTuple):
    """The type as Postgres names it, that beneath a domain; ``max_length``: in characters.

    ``is_defaulted``: it can't be NULL, and has a default for what an event does not have. ``below``: what
    numbers have to be. ``labels``: the only texts that an enum takes.
    """

    name: str
    max_length: int | None = None
    is_defaulted: bool = False
    below: float | None = None
    labels: tuple[str, ...] = ()


class _Found(NamedTuple):
    """A row of ``sql/tracking/usage_columns.sql``.

    Not psycopg's ``namedtuple_row``, which evaluates text: at the end of a process that a signal ends, Python
    would forget that it did.
    """

    name: str | None
    column_name: str
    type: str
    max_length: int | None
    below: float | None
    labels: list[str]
    is_required: bool
    is_generated: bool
    has_default: bool
    is_key: bool
    is_partial_key: bool
    is_partitioned: bool
    is_table: bool


@dataclass(frozen=True, eq=False)
class UsageTable:
    """``columns``: those that are written, in order. ``key``: the one by which an event is known again.

    ``foreign``: columns that no event has. ``is_table``: COPY can write to it, as to no view. ``cut_mark``:
    the last character of a text that was cut. ``is_key_unique``: an index keeps the key unique; none does
    across partitions, where :meth:`lock_keys` has to be called before.
    """

    columns: Mapping[str, ColumnType]
    key: str
    foreign: frozenset[str]
    is_table: bool
    cut_mark: str = CUT_MARK
    is_key_unique: bool = True

    @property
    def has_uuid_prompts(self) -> bool:
        """Whether the UUID of a prompt is its id, so that it need not be looked up."""
        return self.columns["prompt_id"].name == "uuid"

    def statements(self, columns: Collection[str]) -> Statements:
        """Those that write some of the columns; the others get their defaults."""
        written = tuple(columns)
        if written not in self._statements:
            self._statements[written] = Statements(
                insert=self._filled(INSERT_EVENT if self.is_key_unique else INSERT_NEW_EVENT, written),
                copy=self._filled(COPY_EVENTS, written),
                copy_binary=self._filled(COPY_EVENTS_BINARY, written),
                copy_given=self._filled(COPY_GIVEN_EVENTS, written),
                append_given=self._filled(
                    APPEND_GIVEN_EVENTS if self.is_key_unique else APPEND_NEW_EVENTS, written
                ),
            )
        return self._statements[written]

    def lock_keys(self, connection: psycopg.Connection[Any], events: Iterable[Mapping[str, object]]) -> None:
        """Keeps others who write these events waiting until the transaction ends, where that is needed."""
        if not self.is_key_unique:
            connection.execute(LOCK_EVENT_KEYS, {"keys": [str(event[self.key]) for event in events]})

    @cached_property
    def _statements(self) -> dict[tuple[str, ...], Statements]:
        return {}

    @cached_property
    def is_there(self) -> str:
        """Whether it has an event."""
        return self._filled(IS_EVENT_THERE, ())

    @cached_property
    def create_given(self) -> str:
        """Makes the temporary table for a batch, with all columns."""
        return self._filled(CREATE_GIVEN_EVENTS, tuple(self.columns))

    @cached_property
    def empty_given(self) -> str:
        """Empties it."""
        return self._filled(EMPTY_GIVEN_EVENTS, ())

    def _filled(self, statement: str, columns: tuple[str, ...]) -> str:
        """A statement with the names of columns, which are ours, in the place of its braces."""
        # Behind a pooler there may be the temporary table of another app, or of this one before a change.
        kind = zlib.crc32(repr(sorted(self.columns.items())).encode())
        return statement.format(
            given=f"prompt_usage_given_{kind:08x}",
            columns=", ".join(columns),
            values=", ".join(f"%({name})s" for name in columns),
            key=self.key,
            conflict="(id)" if self.key == "id" else f"({self.key}) WHERE {self.key} IS NOT NULL",
        )


class Statements(NamedTuple):
    """What writes some columns of an event."""

    insert: str
    copy: str
    copy_binary: str
    copy_given: str
    append_given: str


_KNOWN: WeakKeyDictionary[psycopg.Connection[Any], UsageTable] = WeakKeyDictionary()


def usage_table(connection: psycopg.Connection[Any]) -> UsageTable:
    """The table as this connection finds it; looked at once per connection.

    :raises psycopg.Error: there is none, or it has no key by which an event is known again.
    """
    table = _KNOWN.get(connection)
    if table is None:
        with sessions.transaction(connection):
            table = _KNOWN[connection] = _look(connection)
    return table


def has_changed(connection: psycopg.Connection[Any]) -> bool:
    """Whether its columns are others, or of other types, than when this connection looked at it."""
    return _look(connection).columns != usage_table(connection).columns


def _look(connection: psycopg.Connection[Any]) -> UsageTable:
    mark = cut_mark(connection.info.parameter_status("server_encoding") or "")
    with connection.cursor(row_factory=class_row(_Found)) as cursor:
        return _table_of(cursor.execute(USAGE_COLUMNS).fetchall(), mark)


def forget_table(connection: psycopg.Connection[Any]) -> None:
    """Has it looked at again: it may be changed to what an event needs."""
    _KNOWN.pop(connection, None)


def is_made_by_database(type_: str, *, is_generated: bool, has_default: bool) -> bool:
    """Whether a writer must not choose the ids of a column: a number of ours would meet a sequence's."""
    return is_generated or (type_ in WHOLE and has_default)


def _type_of(found: _Found) -> ColumnType:
    return ColumnType(
        found.type,
        found.max_length,
        is_defaulted=found.is_required and found.has_default,
        below=found.below,
        labels=tuple(found.labels),
    )


def _table_of(rows: Sequence[_Found], mark: str) -> UsageTable:
    ours = {row.name: row for row in rows if row.name in FIELDS}
    if not {"id", "prompt_id"} <= ours.keys():
        raise FeatureNotSupported("prompt_usage is no table, or plain view of one, with id and prompt_id")
    id_, key = ours["id"], ours.get(EVENT_KEY)
    takes_ids = not is_made_by_database(id_.type, is_generated=id_.is_generated, has_default=id_.has_default)
    is_key = takes_ids and id_.is_key
    if not is_key and not (key and key.is_partial_key):
        raise FeatureNotSupported(
            "nothing in prompt_usage says whether an event is there already, since its ids are not unique by"
            f" themselves or are made by the database: have prompt-stats migrate add the column {EVENT_KEY}"
        )
    unused = {EVENT_KEY if is_key else "", "" if takes_ids else "id"}
    columns = {
        name: _type_of(ours[name])
        for name in FIELDS
        if name in ours and name not in unused and not ours[name].is_generated
    }
    foreign = frozenset(row.column_name for row in rows if row.name not in FIELDS)
    is_unique = not rows[0].is_partitioned
    is_table = rows[0].is_table and is_unique
    return UsageTable(columns, "id" if is_key else EVENT_KEY, foreign, is_table, mark, is_unique)
