"""What an engine is to read of the lake: the live files of some tables, and which of their rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.dataset as ds

Condition = tuple[str, str, Any]
"""A column; ``=``, ``<``, ``<=``, ``>=`` or ``is null``; and a value, None with the last."""


class Part(NamedTuple):
    """Files of one state of a table, with the columns of ``schema``, or nulls where a file lacks one.

    ``paths``: where they are, on this machine; None: elsewhere. ``dataset`` gives the same rows through
    Arrow, ``addresses`` the day and the URI of each file, wherever it is. ``view``: a query in ``sql/engine``
    through which they are read, as the table ``usage_events``.
    """

    schema: pa.Schema
    paths: list[str] | None
    dataset: Callable[[], ds.Dataset]
    addresses: Callable[[], list[tuple[dt.date, str]]]
    view: str | None = None


@dataclass(frozen=True)
class Scan:
    """Rows of the lake with the columns of ``schema``: those of all parts that meet all conditions.

    ``keys``: if given, only rows whose values of its columns are one of its rows. ``timezone``: if given,
    ``day`` is that of ``created_at`` there, and rows without a ``created_at`` are left out.
    """

    schema: pa.Schema
    parts: tuple[Part, ...] = ()
    conditions: tuple[Condition, ...] = ()
    keys: pa.Table | None = None
    timezone: str | None = None

    def where(self, *conditions: Condition) -> Scan:
        """Those rows that meet these conditions, too."""
        return replace(self, conditions=(*self.conditions, *conditions))

    def only(self, keys: pa.Table) -> Scan:
        """Those rows whose values of the columns of ``keys`` are one of its rows."""
        return replace(self, keys=keys)

    def in_days_of(self, timezone: str) -> Scan:
        """Those rows that have a ``created_at``, with its ``day`` in a time zone; for DuckDB alone."""
        return replace(self, timezone=timezone)

    def through(self, view: str, schema: pa.Schema) -> Scan:
        """What the query ``sql/engine/<view>.sql`` makes of these rows, with the columns of ``schema``."""
        return Scan(schema, tuple(part._replace(view=view) for part in self.parts))

    def __add__(self, other: Scan) -> Scan:
        """The rows of both, which have the same columns and conditions."""
        return replace(self, parts=(*self.parts, *other.parts))


Input: TypeAlias = Scan | ds.Dataset | pa.Table
"""What an engine reads as one of a query's tables."""
