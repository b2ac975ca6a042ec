"""What an engine is to read of the lake: the live files of some tables, and which of their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds

Condition = tuple[str, str, Any]
"""A column; ``=``, ``<``, ``<=``, ``>=`` or ``is null``; and a value, None with the last."""


class Part(NamedTuple):
    """Files of one state of a table. ``paths``: where they are, on this machine; None: elsewhere.

    ``dataset`` gives the same rows through Arrow.
    """

    paths: list[str] | None
    dataset: Callable[[], ds.Dataset]


@dataclass(frozen=True)
class Scan:
    """Rows of the lake with the columns of ``schema``: those of all parts that meet all conditions."""

    schema: pa.Schema
    parts: tuple[Part, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def where(self, *conditions: Condition) -> Scan:
        """Those rows that meet these conditions, too."""
        return replace(self, conditions=(*self.conditions, *conditions))

    def __add__(self, other: Scan) -> Scan:
        """The rows of both, which have the same columns and conditions."""
        return replace(self, parts=(*self.parts, *other.parts))

    def dataset(self) -> ds.Dataset:
        """The rows of all parts as an Arrow dataset, whether they meet the conditions or not."""
        parts = [part.dataset() for part in self.parts]
        return ds.dataset(parts or [ds.dataset(self.schema.empty_table())])
