"""Brings a database to this version's schema, and undoes what it added.

The app's tables are adopted (``pipeline.adoption``): missing parts are added in quick steps. Our own tables
are migrated by Alembic, with the revisions in ``migrations/``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg.errors import DuplicateTable
from sqlalchemy import Connection, column, inspect, select, table, text
from sqlalchemy.exc import ProgrammingError

from pipeline.adoption import steps, triggers
from pipeline.adoption.catalog import foreign_views, quoted, read_catalog
from pipeline.adoption.comments import write_comments
from pipeline.adoption.ids import Ids
from pipeline.adoption.offers import Offer, offers
from pipeline.adoption.partitions import PartitionBy
from pipeline.adoption.plan import MAKES_PARTITION, Plan, Problem, Step, plan_adoption, views_problem
from pipeline.adoption.steps import OnText, silent
from pipeline.database.connections import Database, driver_of
from pipeline.database.locks import Lock
from pipeline.database.queries import query, shipped
from pipeline.errors import DatabaseError, InputError, readable
from pipeline.names import TableNames

# Alembic takes half a second to import: only what migrates does.
if TYPE_CHECKING:
    from alembic.config import Config

logger = logging.getLogger(__name__)

MOVE_ROWS = (
    "If the default partition has rows of that month, move them: see docs/adoption.md, Rows in the default"
    " partition"
)

VERSION_TABLE = "prompt_stats_schema_version"
"""Alembic's table, under a name that can't meet another Alembic in the same database."""

MIGRATIONS = "migrations"
"""The folder of Alembic's environment."""

SCHEMA_OF_STATS = text(query("adoption/schema_of_stats"))

SQL_ASCII = "SQL_ASCII"
NO_ENCODING = "the database's encoding is SQL_ASCII, so its texts are bytes of an unknown encoding"
CONVERT = "Dump it, and restore it into: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"


@dataclass(frozen=True)
class Callbacks:
    """Is told what is done next, what was done, and, once a step, for which lock is waited."""

    next: OnText = silent
    did: OnText = silent
    waits: OnText = silent


SILENT = Callbacks()


@dataclass(frozen=True)
class MigrationPlan:
    """What a migration would do: ``revisions`` of our own tables, then ``steps`` on the app's.

    ``offers``: what it would not do, since it is for the app to decide. ``warnings``: what keeps events out
    that are tracked, then too.
    """

    revisions: Sequence[str]
    steps: Sequence[Step]
    offers: Sequence[Offer] = ()
    warnings: Sequence[Problem] = ()

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "revisions": list(self.revisions),
            "steps": [
                {"what": step.what, "lock": step.lock.value, "statements": list(step.statements)}
                for step in self.steps
            ],
            "offers": [offer._asdict() for offer in self.offers],
            "warnings": [{"what": each.what, "remedy": each.remedy} for each in self.warnings],
        }


@dataclass(frozen=True)
class MigrationReport:
    """Where the schema was and is, and what was done. ``before`` is None on a database without our tables.
    ``warnings``: what keeps events out that are tracked.
    """

    before: str | None
    after: str | None
    steps: list[str]
    warnings: list[str] = field(default_factory=list)


def plan_migration(database: Database, partition_by: PartitionBy | None = None) -> MigrationPlan:
    """Plans what :func:`migrate` would do, without changing anything.

    :raises DatabaseError: the app's tables can't be used as they are.
    :raises InputError: ``prompt_usage`` is there already, and not partitioned.
    """
    adoption = _plan(database, partition_by)
    with database.engine.connect() as connection:
        catalog = read_catalog(connection, database.names)
        return MigrationPlan(
            _revisions(_revision(connection), _head()),
            adoption.steps,
            offers(connection, catalog, database.names),
            adoption.warnings,
        )


def migrate(
    database: Database, notify: Callbacks = SILENT, partition_by: PartitionBy | None = None
) -> MigrationReport:
    """Brings the schema to this version: our tables in one transaction, then the app's tables step by step.

    Running it again does what is left, or nothing. ``partition_by``: how ``prompt_usage`` is partitioned if
    it is created.

    :raises DatabaseError: the app's tables, or the database's encoding, can't be used as they are; or a step
        can't be taken, then those before it stay.
    :raises InputError: ``prompt_usage`` is there already, and not partitioned.
    """
    with database.locked(Lock.SCHEMA):
        plan = _plan(database, partition_by)
        before, after = _migrate(database, "head", plan.ids, notify)
        done = _revisions(before, after)
        for revision in done:
            notify.did(revision)
        warnings = [f"{what}. {remedy}" for what, remedy in plan.warnings]
        for step in plan.steps:
            notify.next(step.what)
            try:
                steps.take(database, step, notify.waits)
            except DatabaseError as error:
                if not step.what.startswith(MAKES_PARTITION):
                    raise
                warnings.append(_no_partition(error))
                continue
            notify.did(step.what)
            done.append(step.what)
    return MigrationReport(before, after, done, warnings)


def _no_partition(error: DatabaseError) -> str:
    # Events find their place all the same, in the default partition; all else has to go on.
    return f"{error.attempted}: {error.wrong.rstrip('.')}. {MOVE_ROWS}"


def make_partitions(database: Database) -> list[str]:
    """Makes the partitions of the months to come, where that is up to us; returns what was done.

    A role that does not own the table leaves it to its owner. That is said in the log, and so is a month that
    can't be made.
    """
    with database.engine.connect() as connection:
        catalog = read_catalog(connection, database.names)
    plan = plan_adoption(catalog, database.names)
    wanted = [step for step in plan.steps if step.what.startswith(MAKES_PARTITION)]
    if wanted and not catalog.tables["prompt_usage"].is_ours:
        logger.warning("prompt_usage lacks partitions. Run as its owner: prompt-stats migrate")
        return []
    made = []
    for step in wanted:
        try:
            with database.locked(Lock.SCHEMA):
                steps.take(database, step)
        except DatabaseError as error:
            logger.warning(_no_partition(error))
            continue
        made.append(step.what)
    return made


def undo(database: Database, notify: Callbacks = SILENT) -> MigrationReport:
    """Undoes everything that :func:`migrate` added, and nothing else. Tables with rows of the app stay.

    :raises DatabaseError: a step can't be taken back; it goes on from there.
    """
    with database.locked(Lock.SCHEMA):
        with database.engine.connect() as connection:
            before = _revision(connection)
            catalog = read_catalog(connection, database.names)
        if before is None:
            return MigrationReport(None, None, [])
        done = []
        for what in steps.take_back(database, notify.waits):
            notify.did(what)
            done.append(what)
        # Without its table of notes the trigger would fail the app, whoever made it.
        for statement in triggers.removal(catalog):
            steps.run_alone(database, statement, waits=notify.waits)
        _migrate(database, "base", {}, notify)
        steps.run_alone(database, f"DROP TABLE {quoted(catalog.schema, VERSION_TABLE)}", waits=notify.waits)
        for revision in _revisions(None, before)[::-1]:
            notify.did(revision)
            done.append(revision)
    return MigrationReport(before, None, done)


def require_current(database: Database) -> None:
    """Makes sure that the schema has this version, and that the views show this installation's tables.

    :raises DatabaseError: it is older or newer, or not there; or others have taken the schema of the views.
    """
    require_own_views(database)
    with database.engine.connect() as connection:
        _require_schema(connection, database.names)
        found = _revision(connection)
    if found != _head():
        raise DatabaseError(
            "Checking the database's schema",
            f"it is at revision {found or 'none'}, but this version needs {_head()}",
            "Run: prompt-stats migrate",
        )


def _require_schema(connection: Connection, names: TableNames) -> None:
    there = text("SELECT to_regnamespace(quote_ident(:schema)) IS NOT NULL")
    if names.schema and not connection.execute(there, {"schema": names.schema}).scalar_one():
        raise DatabaseError(
            "Checking the database's schema",
            f"it has no schema {quoted(names.schema)}, which DATABASE_URL or PROMPT_STATS_TABLES names",
            "Correct the name. It has to be the schema of the app's tables",
        )


def require_own_views(database: Database) -> None:
    """Makes sure that any views show this installation's tables.

    :raises DatabaseError: others have taken their schema.
    """
    names = database.names
    if not (names.has_views and names.schema):
        return
    with database.engine.connect() as connection:
        foreign = foreign_views(connection, names, names.schema)
    if foreign:
        raise DatabaseError("Checking the database's views", *views_problem(foreign, names))


def is_current(database: Database) -> bool:
    """Whether the schema is this version's."""
    with database.engine.connect() as connection:
        return _revision(connection) == _head()


def _plan(database: Database, partition_by: PartitionBy | None = None) -> Plan:
    with database.engine.connect() as connection:
        if driver_of(connection).info.parameter_status("server_encoding") == SQL_ASCII:
            raise DatabaseError("Checking the database", NO_ENCODING, CONVERT)
        _require_schema(connection, database.names)
        catalog = read_catalog(connection, database.names)
        schema = database.names.schema or connection.execute(SCHEMA_OF_STATS).scalar_one()
    if catalog.schema != schema:
        # The triggers on the app's tables look for ours beside them.
        raise DatabaseError(
            "Checking the app's tables",
            f"this role's search path finds them in the schema {catalog.schema}, but our tables in {schema}",
            f"Set PROMPT_STATS_TABLES=schema={catalog.schema} for every command and service",
        )
    usage = catalog.tables.get("prompt_usage")
    if partition_by and usage and not usage.is_partitioned:
        raise InputError(
            f"Partitioning prompt_usage by {partition_by}",
            "the table exists already and has no partitions. Nothing was changed",
            "Leave out the option, or first replace the table by a partitioned one, as docs/adoption.md says",
        )
    plan = plan_adoption(catalog, database.names, partition_by)
    if plan.problems:
        raise DatabaseError(
            "Checking the app's tables",
            "; ".join(problem.what for problem in plan.problems),
            ". ".join(dict.fromkeys(problem.remedy for problem in plan.problems)),
        )
    return plan


def _migrate(database: Database, target: str, ids: Ids, notify: Callbacks) -> tuple[str | None, str | None]:
    """Has Alembic bring our tables to a revision; returns that before and after."""
    from alembic import command
    from alembic.util import CommandError

    config = _config()
    config.attributes["ids"] = ids
    with database.engine.begin() as connection:
        if database.names.schema:
            connection.execute(
                text("SELECT set_config('search_path', quote_ident(:schema), true)"),
                {"schema": database.names.schema},
            )
        config.attributes["connection"] = connection
        before = _revision(connection)
        for revision in _revisions(before, _head()) if target == "head" else ():
            notify.next(revision)
        try:
            if target == "head":
                command.upgrade(config, target)
                write_comments(connection)
            else:
                command.downgrade(config, target)
        except CommandError as error:
            raise DatabaseError(
                f"Bringing the schema from revision {before} to {target}",
                readable(error),
                "Use the version of prompt-stats that created this revision, or a newer one",
            ) from None
        except ProgrammingError as error:
            if not isinstance(error.orig, DuplicateTable):
                raise
            raise DatabaseError(
                f"Bringing the schema from revision {before} to {target}",
                f"{readable(error.orig)}, and it does not belong to prompt-stats",
                "Nothing was changed. Rename the app's object of this name, then run the command again",
            ) from None
        return before, _revision(connection)


def _revisions(low: str | None, high: str | None) -> list[str]:
    """The revisions after ``low`` up to ``high``, with what each is about; none if one is unknown."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_config())
    known = {step.revision: f"{step.revision}: {step.doc}" for step in script.walk_revisions()}
    order = list(known)[::-1]
    if high is None or low == high or not {low, high} - {None} <= known.keys():
        return []
    return [known[each] for each in order[order.index(low) + 1 if low else 0 : order.index(high) + 1]]


def _head() -> str:
    """The latest revision: files are named by it, and it begins with its date."""
    return max(file.stem for file in shipped(f"{MIGRATIONS}/versions").glob("*.py"))


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(shipped(MIGRATIONS)).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    """The revision that the database is at; None without our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    return revision
