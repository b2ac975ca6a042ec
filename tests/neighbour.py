"""A second installation in the same database: an app's tables in the schema ``shop``, under other names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from pipeline.database.connections import Database
from pipeline.database.conninfo import libpq_conninfo
from pipeline.database.sessions import search_path_option
from pipeline.installation import Installation
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.names import TableNames
from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import APP_SCHEMA, FIRST_DAY
from tests.oracle import assert_equals_recount

NAMES = TableNames.parse(
    "schema=shop prompts=templates prompt_usage=Uses prompt_usage.created_at=used_at prompts.usage_count=uses"
)
RENAME = """
    ALTER TABLE prompts RENAME TO templates;
    ALTER TABLE templates RENAME usage_count TO uses;
    ALTER TABLE prompt_usage RENAME TO "Uses";
    ALTER TABLE "Uses" RENAME created_at TO used_at;
"""

# What retention leaves to the lake is kept for the recount.
REMOVED = """
    CREATE SCHEMA oracle;
    CREATE TABLE oracle.removed AS TABLE shop."Uses";
    CREATE VIEW oracle.counted AS
    SELECT id, prompt_id, user_id, scene, environment, outfit, success, generation_time_ms, error_message,
           used_at::timestamptz AS created_at
    FROM (TABLE shop."Uses" UNION ALL TABLE oracle.removed) AS rows
"""
KEEP = 'INSERT INTO oracle.removed TABLE shop."Uses"'
FORGET_WHAT_STAYED = "DELETE FROM oracle.removed WHERE id IN (SELECT id FROM prompt_usage)"

INSERT = """
    INSERT INTO prompt_usage (id, prompt_id, user_id, scene, success, generation_time_ms, created_at)
    VALUES (gen_random_uuid(), %(prompt)s, %(user)s, %(scene)s, %(success)s, %(time)s, %(at)s)
"""

TABLES_OF = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace"


def make_tables(conninfo: str, schema: str = "shop") -> None:
    """The app's tables, before they are adopted."""
    with psycopg.connect(conninfo) as app:
        app.execute(f'CREATE SCHEMA "{schema}"'.encode())
        app.execute(f'SET search_path TO "{schema}"'.encode())
        app.execute(APP_SCHEMA.read_bytes())
        app.execute(RENAME.encode())


def named(conninfo: str, names: TableNames = NAMES) -> Database:
    """The database, with sessions that look for tables where the names say."""
    return Database(libpq_conninfo(conninfo), names)


def contents(connection: psycopg.Connection[Any], schema: str) -> dict[str, tuple[Any, ...]]:
    """How many rows each table of a schema holds, and a hash of them."""
    return {
        table: connection.execute(
            f"SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {table} AS t".encode()
        ).fetchone()
        or ()
        for (table,) in connection.execute(TABLES_OF, [schema]).fetchall()
    }


class Neighbour:
    """The second app with its operator. Its tables are adopted, and hold prompts and users with these ids."""

    def __init__(self, conninfo: str, lake: str, prompts: Iterable[Any], users: Iterable[Any]) -> None:
        self.database = named(conninfo)
        self.lake = lake
        options = search_path_option(self.database.names)
        self.app = psycopg.connect(self.database.conninfo, autocommit=True, options=options)
        insert_user = "INSERT INTO shop.users (id, email) VALUES (%s, gen_random_uuid())"
        self.app.cursor().executemany(insert_user, [(user,) for user in users])
        insert_prompt = "INSERT INTO prompts (id, name, template) VALUES (%s, 'name', 'template')"
        self.app.cursor().executemany(insert_prompt, [(prompt,) for prompt in prompts])
        self.app.execute(REMOVED.encode())

    @property
    def installation(self) -> Installation:
        """What the steps work on."""
        return at(self.database, self.lake)

    def append(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Uses of its prompts."""
        self.app.cursor().executemany(INSERT, events)

    def refresh(self) -> None:
        """Brings its stats up to date."""
        refresh(self.installation, values=True)

    def reconcile(self) -> None:
        """Looks at everything."""
        reconcile(self.installation)

    def retain(self) -> None:
        """Leaves rows older than two days to the lake."""
        self.refresh()
        self.app.execute(KEEP.encode())
        retain(self.installation, 2)
        self.app.execute(FORGET_WHAT_STAYED.encode())

    def erase(self, user: object) -> None:
        """Forgets a person, who may use the other app too."""
        self.app.execute("DELETE FROM oracle.removed WHERE user_id = %s", [user])
        assert erase_user(self.installation, str(user)).found == {}

    def look(self) -> None:
        """Its stats equal the recount of its rows."""
        self.refresh()
        assert_equals_recount(self.database, FIRST_DAY, "oracle.counted")

    def close(self) -> None:
        """Ends its sessions."""
        self.app.close()
        self.database.close()
