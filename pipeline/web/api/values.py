"""Values of an app's columns as JSON has them; one that is odd hides no other.

What JSON has a form for is loaded as ever. JSON of the app is passed on as it stands. Anything else
(addresses, ranges, intervals, composite types …) is a text, as Postgres prints it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from psycopg import DataError
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format
from psycopg.types.string import TextLoader
from sqlalchemy import Integer

from pipeline.database import tables

LOADED = frozenset(
    {"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bpchar", "name", "uuid"}
)
"""Types that are loaded as psycopg does, and lists of them."""

TIMES = frozenset({"date", "timestamp", "timestamptz"})
JSON = frozenset({"json", "jsonb"})

INT8 = frozenset({20, 1016})
"""The only type of whole numbers that holds some beyond 2^53, and lists of it."""

OURS = frozenset(
    column.name
    for table in tables.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, Integer)
)
"""Names of columns that are numbers: counts and times."""


class Unheld:
    """A time that is none in Python and most other languages: infinity, before the year 1, after 9999.

    No dataclass, which msgspec would write as an object.
    """

    def __init__(self, printed: str) -> None:
        self.printed = printed


class _Raw(Loader):
    def load(self, data: Buffer) -> msgspec.Raw:
        return msgspec.Raw(bytes(data))


def _held(loader: type[Any]) -> type[Loader]:
    """A loader for which a time that is none in Python is no error, around psycopg's own."""

    class Held(Loader):
        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._load = loader(oid, context).load

        def load(self, data: Buffer) -> Any:
            try:
                return self._load(data)
            except DataError:
                return Unheld(bytes(data).decode())

    return Held


def adapt(adapters: AdaptersMap) -> None:
    """Has a connection load values so."""
    for info in adapters.types:
        if info.name in TIMES and (own := adapters.get_loader(info.oid, Format.TEXT)):
            adapters.register_loader(info.oid, _held(own))
        elif info.name in JSON:
            adapters.register_loader(info.oid, _Raw)
        elif info.name not in LOADED:
            adapters.register_loader(info.oid, TextLoader)
            if info.array_oid:
                adapters.register_loader(info.array_oid, TextLoader)


def answer_row(cursor: Any) -> Any:
    """Rows as dictionaries, in which whole numbers of an app's own wide columns are texts.

    A row factory of psycopg.
    """
    result = cursor.pgresult
    columns = range(result.nfields if result else 0)
    names = [(result.fname(column) or b"").decode() for column in columns]
    is_wide = [
        result.ftype(column) in INT8 and bool(result.ftable(column)) and name not in OURS
        for column, name in zip(columns, names, strict=True)
    ]
    wide = [name for name, is_one in zip(names, is_wide, strict=True) if is_one]

    def row(values: Any) -> dict[str, Any]:
        made = dict(zip(names, values, strict=True))
        for name in wide:
            made[name] = _as_text(made[name])
        return made

    return row


def _as_text(value: object) -> object:
    if isinstance(value, list):
        return [_as_text(each) for each in value]
    return value if value is None else str(value)


def unheld(content: object, name: str = "") -> Iterator[tuple[str, str]]:
    """The name and the print of each time that is null in an answer."""
    if isinstance(content, Unheld):
        yield name, content.printed
    elif isinstance(content, dict):
        for each, value in content.items():
            yield from unheld(value, each)
    elif isinstance(content, list):
        for value in content:
            yield from unheld(value, name)
