"""Examines whether all raw events are visible, the settings are the same, and triggers note all changes."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.health.doctor.findings import Finding, ok, warning
from pipeline.health.doctor.setup import Setup
from pipeline.health.doctor.trial import numbering
from pipeline.lake.source_table import require_source

UNNOTED = {
    "logical replication": (
        "logical replication writes it and fires no trigger for updates and deletes",
        "Set DATABASE_URL to the publisher, or accept that each refresh reads the whole table",
    ),
    "not logged": (
        "it is UNLOGGED, so a crash of the server empties it",
        "Run as its owner, at a quiet moment: ALTER TABLE … SET LOGGED",
    ),
}
"""For each value of ``stats_source.unnoted``: what it means, and what to do."""


def changes(setup: Setup) -> Iterator[Finding]:
    """Whether every change is noticed, and which changes can't be."""
    with setup.database.engine.connect() as connection:
        found = require_source(connection, setup.database.names, setup.settings.start_date)
    if found.table.unnoted:
        why, remedy = UNNOTED[found.table.unnoted]
        yield warning("changes", f"each refresh compares every day of prompt_usage: {why}", remedy)
    if taken := numbering(setup):
        yield taken
    if not (found.table.unnoted or taken):
        yield ok(
            "changes",
            "the next refresh notices all changes, except those made in Postgres's files or catalogs",
        )
