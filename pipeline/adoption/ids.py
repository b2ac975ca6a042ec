"""The types of ids: an app may use UUIDs, texts or numbers, and the stats tables use the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.types import TypeEngine

from pipeline.adoption.catalog import Catalog
from pipeline.database import tables
from pipeline.names import TableNames

TEXTS = frozenset({"text", "character varying", "character"})
WHOLE = frozenset({"bigint", "integer", "smallint"})

Ids = Mapping[str, TypeEngine[Any]]
"""The type of each kind of id: ``prompt``, ``user``, ``character``, ``post``, ``job`` and ``event``."""

_OF_ROW = {"prompts": "prompt", "posts": "post", "prompt_usage": "event"}
_OTHERS = {"created_by": "user"}


def kind_of_id(table: str, column: str) -> str | None:
    """What a column names, by our names: ``prompt`` for ``prompts.id`` and every ``prompt_id``, and so on."""
    if column == "id":
        return _OF_ROW.get(table)
    if column in _OTHERS:
        return _OTHERS[column]
    kind, _, rest = column.rpartition("_")
    return kind if rest == "id" and kind in {"prompt", "user", "character", "post", "job"} else None


def group_of(type_: str) -> str:
    """Types with the same answer can be compared in SQL: ``text``, ``bigint``, or the type itself."""
    if type_ in TEXTS:
        return "text"
    return "bigint" if type_ in WHOLE else type_


def ids_of(catalog: Catalog, names: TableNames) -> Ids:
    """The types of ids that the app's tables have; uuid where they say nothing."""
    groups: dict[str, TypeEngine[Any]] = {"text": Text(), "bigint": BigInteger()}
    ids: dict[str, TypeEngine[Any]] = {}
    for name, found in catalog.tables.items():
        for column in tables.metadata.tables[name].columns:
            kind, there = kind_of_id(name, column.name), found.columns.get(names.column(name, column.name))
            if kind and there:
                ids.setdefault(kind, groups.get(group_of(there.type), UUID()))
    return ids


def tables_with(ids: Ids) -> MetaData:
    """A copy of the schema in which each id has the app's type."""
    metadata = MetaData()
    for table in tables.metadata.sorted_tables:
        copy: Table = table.to_metadata(metadata)
        for column in copy.columns:
            _retype(copy, column, ids)
    return metadata


def _retype(table: Table, column: Column[Any], ids: Ids) -> None:
    kind = kind_of_id(table.name, column.name)
    if kind is None or not isinstance(column.type, UUID):
        return
    column.type = ids.get(kind, column.type)
    if not isinstance(column.type, UUID):
        # A random uuid is no default for another type.
        column.server_default = None
