"""The app's tables have the columns, defaults, indexes and triggers that the pipeline needs."""

from __future__ import annotations

from pipeline.adoption.catalog import Catalog, read_catalog
from pipeline.adoption.plan import plan_adoption
from pipeline.database.tables import metadata
from pipeline.health.checks.report import Report, plural
from pipeline.installation import Installation
from pipeline.names import APP_TABLES, TableNames
from pipeline.tracking.usage_table import EVENT_KEY


def source_fits(installation: Installation) -> Report:
    """Nothing that the pipeline needs of the app's tables is missing or of another type."""
    database = installation.database
    with database.engine.connect() as connection:
        catalog = read_catalog(connection, database.names)
    return judge(catalog, database.names)


def judge(catalog: Catalog, names: TableNames) -> Report:
    """From what there is. Columns that are not ours are only reported."""
    plan = plan_adoption(catalog, names)
    wrong = [problem.what for problem in plan.problems] + [
        f"prompt-stats migrate {step.what}" for step in plan.steps
    ]
    known = {
        (name, names.column(name, column.name))
        for name in APP_TABLES
        for column in metadata.tables[name].columns
    } | {("prompt_usage", EVENT_KEY)}
    there = {(name, column) for name, found in catalog.tables.items() for column in found.columns}
    own = [f"{table}.{column} is the app's own, which is fine" for table, column in sorted(there - known)]
    return Report(
        passed=not wrong,
        summary=f"{plural(len(wrong), 'thing')} that the pipeline needs missing or changed"
        if wrong
        else f"All {plural(len(there & known), 'column')} exist, and the app has {len(own)} others",
        figures={"missing_or_changed": len(wrong), "own_columns": len(own)},
        worst=[{"what": what} for what in (*wrong, *own)],
    )
