"""Compares the role's rights with those in ``sql/roles/pipeline.sql``. The role need not own anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import text

from pipeline.adoption.catalog import quoted, read_catalog
from pipeline.database.connections import Fault
from pipeline.database.queries import query
from pipeline.database.tables import metadata, views
from pipeline.health.checks.report import plural
from pipeline.health.doctor.findings import Finding, ok, warning, wrong
from pipeline.health.doctor.setup import Setup
from pipeline.names import APP_TABLES, VIEWS_SCHEMA

MISSING_RIGHTS = text(query("health/missing_rights"))
HIDDEN_TABLES = text(query("health/hidden_tables"))
OPEN_RELATIONS = text(query("health/open_relations"))
OPEN_SCHEMAS = text(query("health/open_schemas"))


class Right(NamedTuple):
    """``table`` is None for one on the database, ``column`` for one on the whole table."""

    table: str | None
    privilege: str
    column: str | None = None


def granted(statements: str) -> list[Right]:
    """What a file of ``sql/roles/`` grants, but for the use of the schema: without it no table is found."""
    found = re.findall(r"GRANT\s+([^;]+?)\s+ON\s+([^;]+?)\s+TO", re.sub(r"--.*", "", statements))
    return [
        Right(None if target.startswith("DATABASE") else table, privilege, column or None)
        for privileges, target in found
        if not target.startswith("SCHEMA")
        for table in re.split(r",\s*", target)
        for privilege, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", privileges)
        for column in re.split(r",\s*", columns.strip())
    ]


NEEDED = granted(query("roles/pipeline"))


def written_back() -> list[str]:
    """The columns of ``prompts`` that a publish updates."""
    return [right.column for right in NEEDED if right.table == "prompts" and right.column]


def missing(setup: Setup) -> list[Right]:
    """The missing rights on existing tables. If write-back is off, the role needs none to write."""
    spared = () if setup.database.write_back else ("prompts", "UPDATE")
    names = zip(*(right for right in NEEDED if right[:2] != spared), strict=True)
    wanted = dict(zip(("tables", "privileges", "columns"), map(list, names), strict=True))
    with setup.database.engine.connect() as connection:
        return [Right(*row) for row in connection.execute(MISSING_RIGHTS, wanted)]


def rights(setup: Setup) -> Iterator[Finding]:
    """A line for each table on which the role lacks a right, or whose rows may be hidden from it."""
    lacking = missing(setup)
    for table, of_table in groupby(lacking, lambda right: right.table):
        said = _said(list(of_table))
        yield wrong("rights", f"{said} on {table or 'the database'} is not granted", grant(setup))
    with setup.database.engine.connect() as connection:
        # Views that have our names show what their owner sees.
        names = {"names": list(APP_TABLES), "relations": list(APP_TABLES)}
        hidden = connection.execute(HIDDEN_TABLES, names).scalars().all()
    for table in hidden:
        yield wrong(
            "rights",
            f"{table} has row level security. It may hide rows from the role, so refreshes are refused",
            Fault.HIDDEN_ROWS.value,
        )
    if not lacking and not hidden:
        yield ok("rights", f"all {plural(len(NEEDED), 'right')} of sql/roles/pipeline.sql")


def open_relations(setup: Setup) -> Iterator[Finding]:
    """A line for each table that every role may use, for default privileges that open the next ones, and for
    each schema in which another role may create what our sessions would find.
    """
    with setup.database.engine.connect() as connection:
        catalog = read_catalog(connection, setup.database.names)
        relations = [quoted(catalog.schema, setup.database.names.table(name)) for name in metadata.tables]
        relations += [quoted(catalog.schema, name) for name in views.tables]
        relations += [quoted(setup.database.names.views, name) for name in catalog.views]
        given = {"relations": relations, "schema": quoted(catalog.schema)}
        found = connection.execute(OPEN_RELATIONS, given).all()
        schemas = connection.execute(OPEN_SCHEMAS).all()
    for row in schemas:
        yield wrong(
            "open tables",
            f"{row.grantee} may create objects in the schema {row.schema_name}: a function there could run"
            " with the rights of the role that refreshes",
            f"REVOKE CREATE ON SCHEMA {quoted(row.schema_name)} FROM {row.grantee}",
        )
    for row in found:
        if row.relation:
            yield warning(
                "open tables",
                f"every role that can connect may {row.privileges} on {row.relation}",
                f"REVOKE ALL ON {row.relation} FROM PUBLIC, then grant the rights in sql/roles/",
            )
        else:
            yield warning(
                "open tables",
                f"default privileges give {row.grantee} {row.privileges} on every table that migrate creates",
                "ALTER DEFAULT PRIVILEGES … REVOKE, and REVOKE ALL on the existing tables, then grant the"
                " rights in sql/roles/",
            )
    if not found and not schemas:
        yield ok("open tables", "none: only roles with grants have rights on our tables")


def lacking(setup: Setup, said: str) -> str | None:
    """The missing rights on the table that an error of the database names, and how to grant them."""
    found = [each for each in missing(setup) if each.table and re.search(rf"\b{each.table}\b", said)]
    if not found:
        return None
    return f"{_said(found)} on {found[0].table} is not granted: connect as a role that may. {grant(setup)}"


def grant(setup: Setup) -> str:
    """The command that gives the role its rights."""
    with setup.database.engine.connect() as connection:
        role, found = connection.execute(text("SELECT current_user, current_schema()")).one()
    names = setup.database.names
    schema = names.schema or found
    elsewhere = f" -v schema={shlex.quote(schema)}" if schema and schema != "public" else ""
    if names.has_views and names.views != VIEWS_SCHEMA:
        elsewhere += f" -v views={shlex.quote(names.views)}"
    return f"As the tables' owner: psql -v role={shlex.quote(role)}{elsewhere} -f sql/roles/pipeline.sql"


def _said(lacking: list[Right]) -> str:
    parts = []
    for privilege, of_privilege in groupby(lacking, lambda right: right.privilege):
        columns = [right.column for right in of_privilege if right.column]
        parts.append(f"{privilege} ({', '.join(columns)})" if columns else privilege)
    return ", ".join(parts)
