"""The app's tables have the columns, defaults and triggers that the pipeline needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from sqlalchemy import Column, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.types import Boolean, Date, DateTime, Double, TypeEngine

from pipeline import tables
from pipeline.checks.report import Report, Subject, plural, rows
from pipeline.queries import query

SOURCE_COLUMNS = text(query("postgres/source_columns"))

SOURCES = (tables.prompt_usage, tables.prompts, tables.prompt_favorites, tables.posts)

SCHEMA = {
    "table_name": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "type": pl.String,
    "definition": pl.String,
}

TEXTS = {"text", "character varying", "character", "enum"}
WHOLE = {"bigint", "integer", "smallint"}
NUMBERS = {*WHOLE, "double precision", "real", "numeric"}
KINDS: dict[type[TypeEngine[Any]], set[str]] = {
    Boolean: {"boolean"},
    Date: {"date"},
    DateTime: {"timestamp with time zone", "timestamp without time zone"},
    Double: NUMBERS,
    Integer: NUMBERS,
    JSONB: {"jsonb", "json", "ARRAY"},
    UUID: {"uuid", *TEXTS, *WHOLE},
    Text: TEXTS,
}
"""The types that do, for a column that ours has as such: an app may have others."""

TRIGGERS = ("prompt_usage_note_update", "prompt_usage_note_delete", "prompt_usage_note_truncate")
FIRES = ("O", "A")
"""``pg_trigger.tgenabled`` of triggers that fire when an app writes."""


def source_fits(subject: Subject) -> Report:
    """Nothing that the pipeline needs of the app's tables is missing or of another type."""
    return judge(columns_and_triggers(subject, SOURCES))


def columns_and_triggers(subject: Subject, wanted: Sequence[Table]) -> pl.DataFrame:
    """The rows of ``sql/postgres/source_columns.sql`` of some tables."""
    return rows(subject, SOURCE_COLUMNS, SCHEMA, {"tables": [table.name for table in wanted]})


def judge(found: pl.DataFrame) -> Report:
    """From the rows of ``sql/postgres/source_columns.sql``. Columns that are not ours are only reported."""
    wrong = faults(found, SOURCES)
    known = {(table.name, column.name) for table in SOURCES for column in table.columns}
    there = set(found.filter(kind="column").select("table_name", "name").iter_rows())
    new = [_fault(table, name, "is new, which is fine") for table, name in sorted(there - known)]
    return Report(
        passed=not wrong,
        summary=f"{plural(len(wrong), 'thing')} that the pipeline needs missing or changed"
        if wrong
        else f"All {plural(len(known), 'column')} are there, and {len(new)} of the app's own",
        figures={"missing_or_changed": len(wrong), "new_columns": len(new)},
        worst=[*wrong, *new],
    )


def faults(found: pl.DataFrame, wanted: Sequence[Table]) -> list[dict[str, str]]:
    """What is missing or other than needed of some tables, ``prompt_usage`` among them: ``table``, ``name``,
    ``what``.
    """
    columns = {(row["table_name"], row["name"]): row for row in found.filter(kind="column").to_dicts()}
    triggers = {row["name"]: row["definition"] for row in found.filter(kind="trigger").to_dicts()}
    there = {table for table, _ in columns}
    wrong = [_fault(table.name, "the table", "is missing") for table in wanted if table.name not in there]
    wrong += [
        fault
        for table in wanted
        if table.name in there
        for column in table.columns
        if (fault := _fault_of(table, column, columns.get((table.name, column.name))))
    ]
    mark = columns.get(("prompt_usage", "ingest_xid"))
    if mark and "pg_current_xact_id" not in (mark["definition"] or ""):
        wrong.append(_fault("prompt_usage", "ingest_xid", "lacks its default: new events are not found"))
    return wrong + [
        _fault("prompt_usage", name, "the trigger is missing or disabled: changed rows are not noticed")
        for name in TRIGGERS
        if triggers.get(name) not in FIRES
    ]


def _fault_of(table: Table, column: Column[Any], found: dict[str, Any] | None) -> dict[str, str] | None:
    if found is None:
        return _fault(table.name, column.name, "is missing")
    allowed = next(kinds for kind, kinds in KINDS.items() if isinstance(column.type, kind))
    if found["type"] in allowed:
        return None
    return _fault(table.name, column.name, f"is {found['type']}, and should be {', '.join(sorted(allowed))}")


def _fault(table: str, name: str, what: str) -> dict[str, str]:
    return {"table": table, "name": name, "what": what}
