"""Roles that have what a file of ``sql/roles/`` grants, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.database.connections import Database
from tests.command import REPOSITORY
from tests.psql import psql

FOLDER = REPOSITORY / "sql" / "roles"
PASSWORD = "of-a-role"  # noqa: S105  # on a server that lives as long as the tests


@contextmanager
def as_role(database: Database, *files: str, schema: str = "public", views: str = "") -> Iterator[Database]:
    """The database as a new role sees it that has what these files grant on the tables of a schema,
    and on the views of them.

    What everybody may do by default, nobody may do in this database any more.
    """
    name = str(conninfo_to_dict(database.conninfo)["dbname"])
    # Roles belong to the server, where other tests have theirs. The blanks are for the files to quote.
    role = f"{' and '.join(files)} of {name}"
    names = {
        "role": sql.Identifier(role),
        "database": sql.Identifier(name),
        "schema": sql.Identifier(schema),
    }
    given = [f"--set=role={role}", *([f"--set=schema={schema}"] if schema != "public" else [])]
    given += [f"--set=views={views}"] if views else []
    with psycopg.connect(database.conninfo, autocommit=True) as owner:
        owner.execute(sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))
        owner.execute(sql.SQL("REVOKE ALL ON SCHEMA {schema} FROM PUBLIC").format(**names))
        owner.execute(sql.SQL("CREATE ROLE {role} LOGIN PASSWORD {0}").format(PASSWORD, **names))
        seen = Database(make_conninfo(database.conninfo, user=role, password=PASSWORD), database.names)
        try:
            for file in files:
                psql(database, *given, f"--file={FOLDER / f'{file}.sql'}")
            yield seen
        finally:
            seen.close()
            owner.execute(sql.SQL("DROP OWNED BY {role}").format(**names))
            owner.execute(sql.SQL("DROP ROLE {role}").format(**names))
