"""Appends calls by binary COPY if nothing about them is unusual.

It examines one column at a time, and copies it as given. If anything may have to be corrected or refused, it
leaves the batch to :mod:`pipeline.tracking.batches`, which handles each event and says what is wrong with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import psycopg

from pipeline.database import sessions
from pipeline.limits import GENERATION_TIME_MAX_MS, TEXT_MAX_LENGTH
from pipeline.tracking.batches import prompts_named
from pipeline.tracking.call import Call
from pipeline.tracking.event import is_uuid
from pipeline.tracking.fitting import IDS, TEXTS
from pipeline.tracking.usage_table import (
    FIELDS,
    WHOLE,
    ColumnType,
    UsageTable,
    forget_table,
    has_changed,
    usage_table,
)

NOTHING = type(None)
ID_TYPES = {uuid.UUID, str, int}
TEXT_TYPES = {"text", "character varying"}

Column = Sequence[Any]


class _UnusualError(Exception):
    """A column can't be copied as it is."""


def append_calls(connection: psycopg.Connection[Any], calls: Sequence[Call]) -> bool:
    """Whether all of them were appended; else none was.

    :raises psycopg.OperationalError: the connection is lost.
    """
    try:
        with sessions.transaction(connection):
            table = usage_table(connection)
            if not table.is_table:
                return False
            given = dict(zip(Call._fields, zip(*calls, strict=True), strict=True))
            columns = [
                _prompts(connection, given["prompt_id"], table)
                if name == "prompt_id"
                else _column(name, type_, given[FIELDS[name]])
                for name, type_ in table.columns.items()
            ]
            statement = table.statements(table.columns).copy_binary
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.set_types([type_.name for type_ in table.columns.values()])
                for row in zip(*columns, strict=True):
                    copy.write_row(row)
            # Of a column that has another type now the server would read other values, and not see it. From
            # here to the commit nobody can change one.
            if has_changed(connection):
                raise _UnusualError
    except Exception:
        if connection.closed:
            raise
        # Whatever else it is, taking each by itself meets it again, and tells. The table may have changed.
        forget_table(connection)
        return False
    return True


def _column(name: str, type_: ColumnType, values: Column) -> Column:
    """The values as the column takes them.

    :raises _UnusualError: one of them can't go there as it is, or might not.
    """
    kinds = set(map(type, values))
    if not (type_.is_defaulted and NOTHING in kinds):
        kinds.discard(NOTHING)
        if name in IDS:
            return _ids(values, kinds, type_)
        if name in TEXTS and kinds <= {str} and _fits(values, type_):
            return values
        if name == "success" and kinds <= {bool} and type_.name == "boolean":
            return values
        if name == "generation_time_ms" and kinds <= {int}:
            limit = min(GENERATION_TIME_MAX_MS, WHOLE.get(type_.name, 0) - 1)
            if all(0 <= value <= limit for value in values if value is not None):
                return values
        if name == "created_at" and type_.name == "timestamp with time zone":
            return values
        if name == "created_at" and type_.name == "timestamp without time zone":
            return [value.replace(tzinfo=None) for value in values]
    raise _UnusualError


def _ids(values: Column, kinds: set[type], type_: ColumnType) -> Column:
    if type_.name == "uuid" and kinds <= {uuid.UUID}:
        return values
    if type_.name == "uuid" and kinds <= {uuid.UUID, str}:
        return [_uuid(value) if value.__class__ is str else value for value in values]
    if type_.name in WHOLE and kinds <= {int}:
        limit = WHOLE[type_.name]
        if all(-limit <= value < limit for value in values if value is not None):
            return values
    if kinds <= ID_TYPES:
        texts = [value if value is None else _text(value) for value in values]
        if _fits(texts, type_):
            return texts
    raise _UnusualError


def _uuid(value: str) -> uuid.UUID:
    if not is_uuid(value):
        raise _UnusualError
    return uuid.UUID(value)


def _text(value: uuid.UUID | str | int) -> str:
    text = str(value)
    if not text or (isinstance(value, int) and abs(value) >= WHOLE["bigint"]):
        raise _UnusualError
    return text


def _fits(texts: Column, type_: ColumnType) -> bool:
    limit = min(TEXT_MAX_LENGTH, type_.max_length or TEXT_MAX_LENGTH)
    return type_.name in TEXT_TYPES and max(map(len, filter(None, texts)), default=0) <= limit


def _prompts(connection: psycopg.Connection[Any], values: Column, table: UsageTable) -> Column:
    """The ids of the prompts, looked up where they are not given.

    :raises _UnusualError: one of them is no prompt's, or several prompts'.
    """
    kinds = set(map(type, values))
    if table.has_uuid_prompts and kinds == {uuid.UUID}:
        return values
    if not kinds <= ID_TYPES:
        raise _UnusualError
    texts = [_text(value) for value in values]
    keys = {text for text in texts if not (table.has_uuid_prompts and is_uuid(text))}
    if max(map(len, keys), default=0) > TEXT_MAX_LENGTH:
        raise _UnusualError
    found = prompts_named(connection, keys) if keys else {}
    if any(len(found.get(key, ())) != 1 for key in keys):
        raise _UnusualError
    ids = [found[text][0] if text in keys else uuid.UUID(text) for text in texts]
    return _ids(ids, set(map(type, ids)), table.columns["prompt_id"])
