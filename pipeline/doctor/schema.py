"""What is in the database: tables, columns, triggers, indexes; and how old what is published is."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Index, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from pipeline.checks import clocks, source_schema
from pipeline.checks.report import plural
from pipeline.doctor.findings import Finding, ok, warning, wrong
from pipeline.doctor.rights import written_back
from pipeline.doctor.setup import Setup
from pipeline.queries import query
from pipeline.schema import require_current
from pipeline.tables import metadata

INDEXES = text(query("postgres/indexes"))
TOUCHING_TRIGGERS = text(query("postgres/touching_triggers"))

INGEST_INDEX = "prompt_usage_ingest_brin"
"""Without it every refresh reads all of ``prompt_usage``; without another one some question is slow."""


def revision(setup: Setup) -> Iterator[Finding]:
    """The schema is this version's."""
    require_current(setup.database)
    yield ok("revision", "the schema is that of this version")


def tables(setup: Setup) -> Iterator[Finding]:
    """A line for each thing that is missing or other than needed."""
    wanted = metadata.sorted_tables
    found = source_schema.columns_and_triggers(setup.subject, wanted)
    faults = source_schema.faults(found, wanted)
    for fault in faults:
        yield wrong(
            "tables",
            f"{fault['table']}: {fault['name']} {fault['what']}",
            "Take back what changed it, then prompt-stats reconcile: rows of meanwhile may not be counted",
        )
    if not faults:
        columns = sum(len(table.columns) for table in wanted)
        triggers = plural(len(source_schema.TRIGGERS), "trigger")
        yield ok("tables", f"{plural(len(wanted), 'table')}, {plural(columns, 'column')}, {triggers}")


def indexes(setup: Setup) -> Iterator[Finding]:
    """A line for each index that is missing or was never finished."""
    names = {"tables": [table.name for table in metadata.sorted_tables]}
    with setup.database.engine.connect() as connection:
        found = connection.execute(INDEXES, names).mappings().all()
    there = {row["name"] for row in found}
    wanted = [index for table in metadata.sorted_tables for index in table.indexes]
    faults = [_missing(index) for index in wanted if index.name not in there]
    faults += [_unfinished(row["name"], row["table_name"]) for row in found if not row["is_valid"]]
    yield from faults
    if not faults:
        yield ok("indexes", f"{len(wanted)} indexes, and {len(found) - len(wanted)} others")


def _missing(index: Index) -> Finding:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    statement = " ".join(str(CreateIndex(index).compile(dialect=dialect)).split())
    judged = wrong if index.name == INGEST_INDEX else warning
    table = index.table.name if index.table is not None else ""
    return judged(
        "indexes",
        f"{index.name} of {table} is missing: what it is for reads the whole table",
        f"As the table's owner: {statement.replace('INDEX', 'INDEX CONCURRENTLY', 1)}",
    )


def _unfinished(name: str, table: str) -> Finding:
    judged = wrong if name == INGEST_INDEX else warning
    return judged(
        "indexes",
        f"{name} of {table} was not finished, and is not used",
        f'As the table\'s owner: REINDEX INDEX CONCURRENTLY "{name}"',
    )


def triggers(setup: Setup) -> Iterator[Finding]:
    """Triggers of the app that take a write-back for an edit of the prompt."""
    with setup.database.engine.connect() as connection:
        found = connection.execute(TOUCHING_TRIGGERS, {"columns": written_back()}).scalars().all()
    for name in found:
        yield warning(
            "the app's triggers",
            f"{name} sets updated_at of a prompt whenever its counters are written back",
            f"Have {name} fire for the app's columns alone: BEFORE UPDATE OF name, template, …",
        )
    if not found:
        yield ok("the app's triggers", "none sets updated_at when counters are written back")


def lag(setup: Setup) -> Iterator[Finding]:
    """How old what is published is."""
    report = clocks.stats_are_fresh(setup.subject)
    if report.passed:
        yield ok("lag", report.summary)
    else:
        yield warning("lag", report.summary, "prompt-stats refresh; and see why the schedule did not")
