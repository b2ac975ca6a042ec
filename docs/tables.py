"""Prints ``docs/tables.md``: the tables of Postgres, from the comments of ``pipeline/database/tables.py``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from pipeline.database.tables import metadata, views

SECTIONS = {
    "The app's": r"prompts|prompt_favorites|posts",
    "Raw events": r"prompt_usage.*",
    "What authors note": r"prompt_marker",
    "Stats": r".*_stats",
    "Freshness": r"stats_freshness",
    "Bookkeeping": r".*",
}
"""The headings, in the order in which data flows, and what their tables' names match: the first that fits."""

BEGINNING = """\
# Tables

All are in the schema `public`. The same texts are in the database, as comments: `\\d+ prompt_stats` in psql
shows them. Moments are in UTC, rates are in percent. What the tables of the lake hold is in
[The lake](lake.md), what a name means in [Names](naming.md).

The tracker and `POST /events` refuse a negative generation time. One that an old row of `prompt_usage` has
counts as it is: in the mean, and as the shortest. Of a column of another type, a mean keeps the fractions;
shortest, longest and percentiles are of whole milliseconds. NaN, infinity and what an `integer` can't hold
are no times: the event counts without one, and `prompt-stats status` and `check` say how many there are.

<!-- Made from the comments of pipeline/database/tables.py: python docs/tables.py > docs/tables.md -->"""

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield BEGINNING
    rest = {**metadata.tables, **views.tables}
    for heading, names in SECTIONS.items():
        yield f"\n## {heading}"
        for name in [name for name in rest if re.fullmatch(names, name)]:
            yield from _section(rest.pop(name))


def _section(table: Table) -> Iterator[str]:
    yield f"\n### {table.name}\n\n{table.comment}\n"
    yield "| column | type | NULL | meaning |\n|---|---|---|---|"
    yield from map(_row, table.columns)


def _row(column: Column[object]) -> str:
    kind = column.type.compile(_DIALECT).lower()
    return f"| `{column.name}` | {kind} | {'yes' if column.nullable else ''} | {column.comment} |"


if __name__ == "__main__":
    sys.stdout.write(page())
