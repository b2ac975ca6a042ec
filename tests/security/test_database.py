"""A role without grants gets nothing, and one with a file of ``sql/roles`` no more than that file says.

The attack that these tests began with: a trigger function of ours, hung on a temporary table whose column
has a cast of the attacker's, ran that cast with the rights of the tables' owner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege

from pipeline.adoption.partitions import PartitionBy
from pipeline.adoption.schema import migrate
from pipeline.adoption.triggers import FUNCTIONS
from pipeline.database.connections import Database
from pipeline.database.tables import metadata
from pipeline.health.doctor.findings import Finding, Status
from pipeline.health.doctor.rights import open_relations
from pipeline.health.doctor.setup import Setup
from pipeline.refresh import refresh
from pipeline.settings import settings
from tests.app import at
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount
from tests.roles import as_role

BAIT = """
    CREATE TEMPORARY TABLE {bait} (id int, created_at pg_temp.lure, ingest_xid bigint);
    INSERT INTO {bait} VALUES (1, ROW('x'), NULL)
"""
CAST = """
    CREATE TYPE pg_temp.lure AS (text text);
    CREATE FUNCTION pg_temp.loot(pg_temp.lure) RETURNS date LANGUAGE plpgsql AS $$ BEGIN
        RAISE 'the cast ran as %', current_user;
    END $$;
    CREATE CAST (pg_temp.lure AS date) WITH FUNCTION pg_temp.loot(pg_temp.lure) AS IMPLICIT
"""
HANG = {
    "note_prompt_usage_change": "CREATE TRIGGER hung AFTER DELETE ON {bait} REFERENCING OLD TABLE AS gone"
    " FOR EACH STATEMENT EXECUTE FUNCTION public.note_prompt_usage_change()",
    "assign_prompt_usage_ingest_xid": "CREATE TRIGGER hung BEFORE INSERT ON {bait}"
    " FOR EACH ROW EXECUTE FUNCTION public.assign_prompt_usage_ingest_xid()",
    "note_prompt_usage_row_change": "CREATE TRIGGER hung AFTER DELETE ON {bait}"
    " FOR EACH ROW EXECUTE FUNCTION public.note_prompt_usage_row_change()",
}
NOTING = ["note_prompt_usage_change", "note_prompt_usage_row_change"]
BEFORE_THIS_VERSION = """
    DROP FUNCTION note_prompt_usage_change() CASCADE;
    DROP FUNCTION assign_prompt_usage_ingest_xid() CASCADE;
    CREATE FUNCTION note_prompt_usage_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' AS $$
    BEGIN
        INSERT INTO prompt_usage_invalidation (day, operation)
        SELECT DISTINCT created_at::date, TG_OP FROM gone;
        RETURN NULL;
    END $$;
    CREATE TRIGGER prompt_usage_note_update AFTER UPDATE ON prompt_usage REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note_prompt_usage_change();
    CREATE TRIGGER prompt_usage_note_delete AFTER DELETE ON prompt_usage REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note_prompt_usage_change()
"""
PROMPT = "00000000-0000-4000-8000-000000000001"


@contextmanager
def stranger(database: Database) -> Iterator[psycopg.Connection]:
    """A session of a role that has what a new role has, on a database as ``createdb`` makes it."""
    role = sql.Identifier(f"stranger in {conninfo_to_dict(database.conninfo)['dbname']}")
    with psycopg.connect(database.conninfo, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
        try:
            with psycopg.connect(
                make_conninfo(database.conninfo, user=role._obj[0], password="x"),  # noqa: S106
                autocommit=True,
            ) as connection:
                yield connection
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(role))


def hang(connection: psycopg.Connection, function: str, bait: str = "bait") -> None:
    """Has a function of ours look at a row of a table whose ``created_at`` has a cast of its owner's."""
    connection.execute(sql.SQL(CAST))
    connection.execute(sql.SQL(BAIT).format(bait=sql.SQL(bait)))
    connection.execute(sql.SQL(HANG[function]).format(bait=sql.SQL(bait)))


def test_there_is_an_attack_on_every_function() -> None:
    assert {each.name for each in FUNCTIONS} == HANG.keys()


@pytest.fixture
def divided(empty_database: Database) -> Database:
    """A database in which ``prompt_usage`` has partitions, and so every function is there."""
    migrate(empty_database, partition_by=PartitionBy.MONTH)
    return empty_database


def test_a_stranger_hangs_no_function_on_a_table(divided: Database) -> None:
    for function in HANG:
        with stranger(divided) as session, pytest.raises(InsufficientPrivilege, match=function):
            hang(session, function)


@pytest.mark.parametrize("bait", ["bait", "pg_temp.prompt_usage"])
@pytest.mark.parametrize("function", NOTING)
def test_nothing_of_a_foreign_table_is_evaluated_even_by_who_may_execute(
    divided: Database, bait: str, function: str
) -> None:
    """A dump that was restored without privileges gives EXECUTE to everybody again."""
    with psycopg.connect(divided.conninfo, autocommit=True) as owner, stranger(divided) as session:
        owner.execute(f"GRANT EXECUTE ON FUNCTION {function}() TO PUBLIC".encode())
        hang(session, function, bait)
        with pytest.raises(InsufficientPrivilege, match=r"changes of public\.prompt_usage, and of no other"):
            session.execute(sql.SQL("DELETE FROM {}").format(sql.SQL(bait)))

    assert migrate(divided).steps, "and migrate takes it back"
    with stranger(divided) as session, pytest.raises(InsufficientPrivilege):
        hang(session, function)


@pytest.mark.parametrize("function", NOTING)
def test_a_cast_that_somebody_defined_is_never_run(divided: Database, function: str) -> None:
    """Not even on a table of the owner's: every day may have changed then."""
    with psycopg.connect(divided.conninfo, autocommit=True) as owner:
        hang(owner, function)
        owner.execute("DELETE FROM bait")
        noted = owner.execute("SELECT day, operation FROM prompt_usage_invalidation").fetchall()
    assert noted == [(None, "TRUNCATE")], "which stands for every day"


def test_migrate_mends_a_database_with_the_old_function(database: Database, lake: str) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as owner:
        owner.execute(BEFORE_THIS_VERSION)
        with stranger(database) as session:
            hang(session, "note_prompt_usage_change")
            with pytest.raises(psycopg.errors.RaiseException, match="the cast ran as postgres"):
                session.execute("DELETE FROM bait")

        assert len(migrate(database).steps) == 1

        with stranger(database) as session, pytest.raises(InsufficientPrivilege):
            hang(session, "note_prompt_usage_change")
        owner.execute(
            "INSERT INTO prompt_usage (prompt_id) SELECT gen_random_uuid() FROM generate_series(1, 3)"
        )
        refresh(at(database, lake))
        owner.execute("DELETE FROM prompt_usage WHERE id = (SELECT min(id::text)::uuid FROM prompt_usage)")
        refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)


def test_a_stranger_has_no_right_on_anything_of_ours(database: Database) -> None:
    with stranger(database) as session:
        held = session.execute(
            """
            SELECT relation.oid::regclass::text, privilege
            FROM pg_class AS relation
            CROSS JOIN unnest(
                '{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]
            ) AS privilege
            WHERE
                relation.relnamespace = 'public'::regnamespace
                AND relation.relkind IN ('r', 'v', 'm', 'S')
                AND CASE relation.relkind
                    WHEN 'S' THEN
                        privilege IN ('SELECT', 'UPDATE') AND has_sequence_privilege(relation.oid, privilege)
                    ELSE has_table_privilege(relation.oid, privilege)
                END
            UNION ALL
            SELECT oid::regprocedure::text, 'EXECUTE'
            FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace AND has_function_privilege(oid, 'EXECUTE')
            """
        ).fetchall()
    assert held == []


def test_a_function_with_its_owners_rights_looks_into_no_schema_of_others(database: Database) -> None:
    with psycopg.connect(database.conninfo) as owner:
        found = owner.execute(
            "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert found == [("note_prompt_usage_change", ["search_path=pg_catalog, pg_temp", "TimeZone=UTC"])], (
        "each such function needs an attack here"
    )


def test_default_privileges_open_no_function_and_the_doctor_names_tables(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As hosted databases have them for roles that anybody on the internet may use."""
    with new_database("template0") as database, psycopg.connect(database.conninfo, autocommit=True) as owner:
        role = sql.Identifier(f"anonymous in {owner.info.dbname}")
        owner.execute(sql.SQL("CREATE ROLE {}").format(role))
        try:
            for objects in ("TABLES", "FUNCTIONS"):
                owner.execute(
                    sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {} TO {}").format(
                        sql.SQL(objects), role
                    )
                )
            migrate(database)
            migrate(database)
            executable = owner.execute(
                "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                " AND has_function_privilege(%s, oid, 'EXECUTE')",
                [role._obj[0]],
            ).fetchall()
            assert executable == []

            monkeypatch.setenv("DATABASE_URL", database.conninfo)
            settings.cache_clear()
            [found] = looked_at()
            assert found.status is Status.WARNING
            assert str(role._obj[0]) in found.summary
        finally:
            settings.cache_clear()
            owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_the_doctor_names_tables_that_are_open_to_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.conninfo)
    settings.cache_clear()
    try:
        [closed] = looked_at()
        assert closed.status is Status.OK
        with psycopg.connect(database.conninfo, autocommit=True) as owner:
            for table in metadata.tables:
                owner.execute(sql.SQL("GRANT SELECT ON {} TO PUBLIC").format(sql.Identifier(table)))
        found = looked_at()
        assert [each.status for each in found] == [Status.WARNING] * len(metadata.tables)
        assert all("SELECT" in each.summary for each in found)
    finally:
        settings.cache_clear()


def test_no_function_in_public_is_called_in_place_of_postgres_own(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before PostgreSQL 15 every role may create in ``public``; upgraded databases keep that."""
    with psycopg.connect(database.conninfo, autocommit=True) as owner:
        owner.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        with stranger(database) as session:
            for arguments in ("text, bigint, integer, oid", "text, bigint, oid"):
                session.execute(
                    sql.SQL(
                        "CREATE FUNCTION public.concat_ws({}) RETURNS text LANGUAGE plpgsql"
                        " AS $$ BEGIN RAISE 'it ran as %', current_user; END $$"
                    ).format(sql.SQL(arguments))
                )
            owner.execute("INSERT INTO prompt_usage (prompt_id) VALUES (gen_random_uuid())")
            refresh(at(database, lake))
            assert_equals_recount(database, FIRST_DAY)

            monkeypatch.setenv("DATABASE_URL", database.conninfo)
            settings.cache_clear()
            [found] = looked_at()
            settings.cache_clear()
    assert found.status is Status.WRONG
    assert found.remedy == "REVOKE CREATE ON SCHEMA public FROM PUBLIC"


def looked_at() -> list[Finding]:
    """What the doctor says of open tables."""
    with closing(Setup()) as setup:
        return list(open_relations(setup))


FORGERIES = {
    "NULL": "INSERT INTO prompt_usage (prompt_id, ingest_xid) VALUES (%s, NULL)",
    "old": "INSERT INTO prompt_usage (prompt_id, ingest_xid) VALUES (%s, 3)",
    "to come": "INSERT INTO prompt_usage (prompt_id, ingest_xid) VALUES (%s, 1000000000000)",
    "of a query": "INSERT INTO prompt_usage (prompt_id, ingest_xid) SELECT %s, generate_series(1, 3)",
    "conflict": "INSERT INTO prompt_usage (prompt_id, ingest_xid) VALUES (%s, 2) ON CONFLICT DO NOTHING",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_the_apps_role_forges_no_ingest_xid(database: Database, lake: str, forgery: str) -> None:
    """What it gives is replaced, so that each event is counted by the next refresh."""
    refresh(at(database, lake))
    with as_role(database, "app") as seen, psycopg.connect(seen.conninfo, autocommit=True) as app:
        app.execute(forgery.encode(), [PROMPT])
    assert_ids_are_the_transactions(database)
    refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)


def test_a_copied_archive_gets_ids_of_its_own(database: Database, lake: str) -> None:
    refresh(at(database, lake))
    with (
        as_role(database, "app") as seen,
        psycopg.connect(seen.conninfo) as app,
        app.cursor().copy("COPY prompt_usage (prompt_id, ingest_xid) FROM STDIN") as copy,
    ):
        for ingest_xid in (None, 3, 10**12):
            copy.write_row((PROMPT, ingest_xid))
    assert_ids_are_the_transactions(database)
    refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)


def assert_ids_are_the_transactions(database: Database) -> None:
    with psycopg.connect(database.conninfo) as owner:
        counted = owner.execute(
            "SELECT count(*) > 0, bool_and(ingest_xid::text = xmin::text) FROM prompt_usage"
        ).fetchone()
    assert counted == (True, True)
