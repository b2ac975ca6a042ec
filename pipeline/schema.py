"""Migrations: brings a database to this version's schema, and back.

Alembic does the work; ``migrations/`` holds the steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from pipeline.database import Database, Lock, lock_transaction
from pipeline.errors import DatabaseError
from pipeline.queries import shipped

VERSION_TABLE = "prompt_stats_schema_version"
"""Alembic's table, under a name that can't meet another Alembic in the same database."""


@dataclass(frozen=True)
class MigrationReport:
    """Where the schema was and is. ``before`` is None on a database that had nothing of ours."""

    before: str | None
    after: str | None
    steps: list[str]


def migrate(database: Database, target: str = "head") -> MigrationReport:
    """Brings the schema to ``target``: a revision, ``head``, or ``base`` to take everything back.

    All in one transaction: whole, or not at all. Doing it again does nothing.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    with database.engine.begin() as connection:
        lock_transaction(connection, Lock.SCHEMA)
        config.attributes["connection"] = connection
        before = _revision(connection)
        if target == "base":
            command.downgrade(config, target)
        else:
            command.upgrade(config, target)
        after = _revision(connection)
    low, high = (after, before) if target == "base" else (before, after)
    steps = [
        f"{step.revision}: {step.doc}"
        for step in script.iterate_revisions(high or "base", low or "base")
        if high != low
    ]
    return MigrationReport(before, after, steps if target == "base" else steps[::-1])


def require_current(database: Database) -> None:
    """Makes sure that the schema is this version's.

    :raises DatabaseError: it is older or newer, or not there.
    """
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with database.engine.connect() as connection:
        found = _revision(connection)
    if found != head:
        raise DatabaseError(
            "Looking at the database's schema",
            f"it is at revision {found or 'none'}, and this version needs {head}",
            "Run: prompt-stats migrate",
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()
