"""The monthly partitions of ``prompt_usage``, if ``migrate --partition-by month`` created the table. Pure.

Partitions of an app's own table are created by the app's own tool, such as pg_partman.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from enum import StrEnum

from sqlalchemy import MetaData, PrimaryKeyConstraint, Table

from pipeline.adoption.catalog import FoundTable, quoted

MARK = "In partitions by month, which prompt-stats makes."
"""The comment of a table whose partitions we create."""

MONTHS_AHEAD = 3


class PartitionBy(StrEnum):
    """The length of a partition's range of ``created_at``."""

    MONTH = "month"


def months_from(today: dt.date, ahead: int = MONTHS_AHEAD) -> list[dt.date]:
    """The first days of this month and of those that follow."""
    first = today.year * 12 + today.month - 1
    return [dt.date(number // 12, number % 12 + 1, 1) for number in range(first, first + ahead + 1)]


def partition_name(table: str, month: dt.date) -> str:
    """The name that pg_partman would use."""
    return f"{table}_p{month:%Y%m%d}"


def creation(schema: str, table: str, month: dt.date, parameters: Mapping[str, object]) -> str:
    """The statement that creates the partition of a month."""
    [_, end] = months_from(month, 1)
    pairs = ", ".join(f"{name} = {value}" for name, value in parameters.items())
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(schema, partition_name(table, month))}"
        f" PARTITION OF {quoted(schema, table)}"
        f" FOR VALUES FROM ('{month} 00:00:00+00') TO ('{end} 00:00:00+00') WITH ({pairs})"
    )


def default(schema: str, table: str) -> str:
    """The statement that creates the partition of events at all other times."""
    return f"CREATE TABLE {quoted(schema, f'{table}_default')} PARTITION OF {quoted(schema, table)} DEFAULT"


def missing_months(found: FoundTable, schema: str, table: str, today: dt.date) -> Iterator[dt.date]:
    """The months without a partition, as soon as the next one has none; none of a table that is not ours."""
    if not found.is_partitioned or MARK not in (found.comment or ""):
        return
    there = {each.name for each in found.partitions}
    lacking = [
        month for month in months_from(today) if quoted(schema, partition_name(table, month)) not in there
    ]
    if set(lacking) & set(months_from(today, 1)):
        yield from lacking


def partitioned(table: Table, metadata: MetaData, schema: str) -> Table:
    """A partitioned copy of ``prompt_usage``, whose unique keys include the time."""
    copy: Table = table.to_metadata(metadata, schema=schema)
    copy.comment = f"{table.comment} {MARK}"
    options = copy.dialect_options["postgresql"]
    options["partition_by"] = "RANGE (created_at)"
    options["with"] = {}
    copy.c.created_at.nullable = False
    copy.c.created_at.primary_key = True
    copy.append_constraint(PrimaryKeyConstraint(copy.c.id, copy.c.created_at))
    return copy
