"""Examines tables, columns and indexes, what keeps events out, and how old the published stats are."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Index
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from pipeline.adoption import writing as usage
from pipeline.adoption.catalog import FoundTable, found_tables, quoted, read_catalog
from pipeline.adoption.plan import INDEXES, Plan, plan_adoption
from pipeline.adoption.schema import is_current, require_current
from pipeline.adoption.triggers import TRIGGERS
from pipeline.database.tables import metadata, views
from pipeline.health.checks import clocks
from pipeline.health.checks.report import plural
from pipeline.health.doctor.findings import Finding, ok, unchecked, warning, wrong
from pipeline.health.doctor.setup import Setup
from pipeline.names import APP_TABLES

OUR_TABLES = [
    *(table for table in metadata.sorted_tables if table.name not in APP_TABLES),
    *views.sorted_tables,
]

MIGRATE, RECONCILE = "Run as the tables' owner: prompt-stats migrate", "prompt-stats reconcile"

INGEST_INDEX = "prompt_usage_ingest_brin"
"""Without it every refresh reads all of ``prompt_usage``; without another one some question is slow."""


def revision(setup: Setup) -> Iterator[Finding]:
    """Whether the schema has this version's revision."""
    require_current(setup.database)
    yield ok("revision", "the schema has this version's revision")


def tables(setup: Setup) -> Iterator[Finding]:
    """A line for everything missing or wrong; before ``migrate``, for everything that prevents it."""
    plan, ours = _found(setup)
    faults = [wrong("tables", problem.what, problem.remedy) for problem in plan.problems]
    if not is_current(setup.database):
        yield from faults or [unchecked("tables", "revision")]
        return
    faults += [
        wrong(
            "tables",
            f"something is missing or was changed: migrate {step.what}",
            f"{MIGRATE}, then {RECONCILE}",
        )
        for step in plan.steps
        if not step.is_concurrent
    ]
    for table in OUR_TABLES:
        there = ours[table.name].columns if table.name in ours else {}
        lost = [column.name for column in table.columns if column.name not in there]
        if lost:
            kind = "view" if table.metadata is views else "table"
            what = f"its column {', '.join(lost)}" if there else f"the {kind}"
            faults.append(wrong("tables", f"{table.name}: {what} is missing", "Restore it from a backup"))
    yield from faults
    if not faults:
        columns = sum(len(table.columns) for table in metadata.sorted_tables)
        triggers = plural(len(TRIGGERS), "trigger")
        count = plural(len(metadata.tables), "table")
        yield ok("tables", f"{count}, {plural(columns, 'column')}, {triggers}")


def indexes(setup: Setup) -> Iterator[Finding]:
    """A line for each index that is missing or unfinished."""
    plan, ours = _found(setup)
    faults = [
        (wrong if INGEST_INDEX in step.what else warning)(
            "indexes", f"one is missing or was not finished: migrate {step.what}", MIGRATE
        )
        for step in plan.steps
        if step.is_concurrent
    ]
    there = {name for found in ours.values() for name, is_valid in found.indexes.items() if is_valid}
    wanted = [index for table in OUR_TABLES for index in table.indexes]
    faults += [_missing(index) for index in wanted if index.name not in there]
    yield from faults
    if not faults:
        yield ok("indexes", f"{len(wanted) + len(INDEXES)} indexes")


def _found(setup: Setup) -> tuple[Plan, dict[str, FoundTable]]:
    """What ``migrate`` would still do to the app's tables, and what there is of ours."""
    names = setup.database.names
    with setup.database.engine.connect() as connection:
        catalog = read_catalog(connection, names)
        ours = found_tables(
            connection, {table.name: quoted(catalog.schema, table.name) for table in OUR_TABLES}
        )
    return plan_adoption(catalog, names), ours


def _missing(index: Index) -> Finding:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    statement = " ".join(str(CreateIndex(index).compile(dialect=dialect)).split())
    return warning(
        "indexes",
        f"{index.name} is missing or unfinished, so queries that need it read the whole table",
        f"Run as the table's owner: DROP INDEX IF EXISTS {index.name};"
        f" {statement.replace('INDEX', 'INDEX CONCURRENTLY', 1)}",
    )


def writing(setup: Setup) -> Iterator[Finding]:
    """What keeps out events that are tracked; those that the app inserts itself are its own business."""
    names = setup.database.names
    with setup.database.engine.connect() as connection:
        catalog = read_catalog(connection, names)
    warnings = plan_adoption(catalog, names).warnings
    for each in warnings:
        yield warning("writing", each.what, each.remedy)
    found = catalog.tables.get(usage.TABLE)
    if found is None or names.column(usage.TABLE, "id") not in found.columns:
        yield unchecked("writing", "tables")
    elif not warnings:
        yield ok("writing", usage.described(found, names))


def lag(setup: Setup) -> Iterator[Finding]:
    """How old the published stats are."""
    report = clocks.stats_are_fresh(setup.installation)
    if report.passed:
        yield ok("lag", report.summary)
    elif not report.figures:
        yield warning(
            "lag",
            "nothing has been published yet",
            "Run prompt-stats refresh, which counts all existing events",
        )
    else:
        yield warning(
            "lag", report.summary, "Run prompt-stats refresh, and find out why the schedule did not"
        )
