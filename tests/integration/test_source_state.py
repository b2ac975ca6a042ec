"""Whatever happens to the raw table without a trigger's note, the next refresh is true, or refuses.

A count that goes down is believed only of a table that is seen whole, and only of the one that was counted.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from pipeline.adoption.schema import migrate, plan_migration
from pipeline.answers import reading
from pipeline.database.connections import Database, Fault, fault_of
from pipeline.database.embedded.server import Server
from pipeline.errors import DatabaseError, InputError, LakeError, PromptStatsError, SettingsError
from pipeline.installation import Installation
from pipeline.lake.acceptance import accept_settings
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.maintenance.coverage import track_missing
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.names import TableNames
from pipeline.publish.publish import publish
from pipeline.refresh import plan_refresh, refresh
from pipeline.settings import settings
from tests.app import at
from tests.cli import invoke
from tests.conftest import FIRST_DAY
from tests.integration.test_replica import wait_until
from tests.oracle import assert_equals_recount
from tests.roles import as_role
from tests.statements import rows_of, run
from tests.triggers import OFF, ON, without_triggers

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
PROMPT = uuid.UUID(int=7)
USER = uuid.UUID(int=1001)
AGES = (0, 1, 2, 40, None, 4000)

INSERT = """
    INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, created_at)
    VALUES (%s, %s, %s, true, 10, %s)
"""
PUBLISHED = """
    SELECT jsonb_agg(to_jsonb(stats) - 'stats_as_of' ORDER BY prompt_id) FROM prompt_stats AS stats
    UNION ALL SELECT jsonb_agg(to_jsonb(days) ORDER BY day) FROM prompt_daily_stats AS days
"""
AS_THE_ORACLE_READS_IT = """
    CREATE VIEW as_read AS
    SELECT
        id, prompt_id, user_id, scene::text, environment, outfit, success, generation_time_ms, error_message,
        created_at::timestamptz
    FROM prompt_usage
"""


def live(app: psycopg.Connection) -> None:
    """Two events at each age, one undated, one from before the first day."""
    app.execute("INSERT INTO prompts (id, name, template) VALUES (%s, 'a name', 'a template')", (PROMPT,))
    for age in AGES * 2:
        at = None if age is None else NOW - age * ONE_DAY
        app.execute(INSERT, (PROMPT, USER, "studio", at))


def published(database: Database) -> list[Any]:
    """What readers see."""
    return rows_of(database, PUBLISHED)


def versions(lake: str) -> dict[dt.date, int]:
    """The files of each day."""
    return dict(open_usage_events(lake).days().select("day", "version").iter_rows())


def assert_true(database: Database, lake: str, first_day: dt.date = FIRST_DAY) -> None:
    """A refresh makes everything true, and leaves nothing to do."""
    assert refresh(at(database, lake, first_day), values=True).pending_days == []
    run(database, AS_THE_ORACLE_READS_IT)
    assert_equals_recount(database, first_day, "as_read")
    run(database, "DROP VIEW as_read")
    assert plan_refresh(at(database, lake, first_day)).days == []


# Changes that fire nothing ---------------------------------------------------------------------------

ONE = "(SELECT min(id::text)::uuid FROM prompt_usage WHERE created_at > CURRENT_DATE - 50)"
OLD_DAY = f"'{TODAY - 77 * ONE_DAY} 12:00Z'"
GIVEN = (
    "INSERT INTO prompt_usage (prompt_id, scene, created_at, ingest_xid)"
    " VALUES (gen_random_uuid(), 'x', {}, {})"
)

CHANGES = {
    "insert NULL": without_triggers(GIVEN.format("now()", "NULL")),
    "insert an old id": without_triggers(GIVEN.format("now()", "3")),
    "insert an id to come": without_triggers(GIVEN.format("now()", "10^12")),
    "insert an id of soon": without_triggers(
        GIVEN.format("now()", "pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 40")
    ),
    "insert NULL on a new day": without_triggers(GIVEN.format(OLD_DAY, "NULL")),
    "insert an old id on a new day": without_triggers(GIVEN.format(OLD_DAY, "3")),
    "insert NULL without a date": without_triggers(GIVEN.format("NULL", "NULL")),
    "update to NULL": f"UPDATE prompt_usage SET ingest_xid = NULL, scene = 'y' WHERE id = {ONE}",
    "update to an old id": f"UPDATE prompt_usage SET ingest_xid = 3 WHERE id = {ONE}",
    "update to an id to come": f"UPDATE prompt_usage SET ingest_xid = 10^12 WHERE id = {ONE}",
    "update all to ids to come": "UPDATE prompt_usage SET ingest_xid = 10^12",
    "delete without triggers": without_triggers(f"DELETE FROM prompt_usage WHERE id = {ONE}"),
    "update without triggers": without_triggers(f"UPDATE prompt_usage SET success = false WHERE id = {ONE}"),
    "move without triggers": without_triggers(
        f"UPDATE prompt_usage SET created_at = {OLD_DAY} WHERE id = {ONE}"
    ),
    "one trigger off": "ALTER TABLE prompt_usage DISABLE TRIGGER prompt_usage_note_delete;"
    f" DELETE FROM prompt_usage WHERE id = {ONE};"
    " ALTER TABLE prompt_usage ENABLE ALWAYS TRIGGER prompt_usage_note_delete",
    "a function that notes nothing": "CREATE OR REPLACE FUNCTION note_prompt_usage_change()"
    " RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    f" DELETE FROM prompt_usage WHERE id = {ONE}",
    "trigger dropped": "DROP TRIGGER prompt_usage_note_delete ON prompt_usage;"
    f" DELETE FROM prompt_usage WHERE id = {ONE}",
    "replica role": f"SET session_replication_role = replica; DELETE FROM prompt_usage WHERE id = {ONE};"
    " UPDATE prompt_usage SET success = false WHERE created_at > CURRENT_DATE - 5;"
    + GIVEN.format("now()", "NULL"),
    "default dropped": "ALTER TABLE prompt_usage ALTER ingest_xid DROP DEFAULT;"
    " INSERT INTO prompt_usage (prompt_id) VALUES (gen_random_uuid())",
    "time shifted": "ALTER TABLE prompt_usage ALTER created_at TYPE timestamptz"
    " USING created_at - interval '3 days'",
    "time without zone": "ALTER TABLE prompt_usage ALTER created_at TYPE timestamp"
    " USING created_at AT TIME ZONE 'America/New_York'",
    "scene in capitals": "ALTER TABLE prompt_usage ALTER scene TYPE text USING upper(scene)",
    "scene made anew": "ALTER TABLE prompt_usage DROP COLUMN scene;"
    " ALTER TABLE prompt_usage ADD COLUMN scene text",
    "scene and outfit swapped": "ALTER TABLE prompt_usage RENAME scene TO spare;"
    " ALTER TABLE prompt_usage RENAME outfit TO scene; ALTER TABLE prompt_usage RENAME spare TO outfit",
    "truncated without triggers": without_triggers("TRUNCATE prompt_usage"),
    "truncated": "TRUNCATE prompt_usage",
    "swapped": "CREATE TABLE other (LIKE prompt_usage INCLUDING ALL);"
    " INSERT INTO other SELECT * FROM prompt_usage WHERE created_at < now() - interval '1 day';"
    " ALTER TABLE prompt_usage RENAME TO before; ALTER TABLE other RENAME TO prompt_usage",
    "swapped for an empty one": "CREATE TABLE other (LIKE prompt_usage INCLUDING ALL);"
    " ALTER TABLE prompt_usage RENAME TO before; ALTER TABLE other RENAME TO prompt_usage",
    "dropped and made again": "CREATE TABLE other AS SELECT * FROM prompt_usage WHERE created_at IS NOT NULL;"
    " DROP TABLE prompt_usage; CREATE TABLE prompt_usage AS SELECT * FROM other",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_that_fires_nothing_is_counted_at_the_next_refresh(
    history: Database, lake: str, change: str
) -> None:
    run(history, change)
    assert_true(history, lake)
    migrate(history)
    run(history, INSERT, (PROMPT, USER, "studio", NOW))
    run(history, f"DELETE FROM prompt_usage WHERE id = {ONE}")
    assert_true(history, lake)


@pytest.mark.parametrize("when", ["NULL", "now() - interval '6 days'"])
def test_an_id_to_come_is_counted_at_the_first_refresh(database: Database, lake: str, when: str) -> None:
    run(database, without_triggers(GIVEN.format(when, "10^12")))
    run(database, GIVEN.format("now()", "NULL"))
    assert_true(database, lake)


@pytest.mark.parametrize("kind", ["scenes", "domain_of_it", "domain_of_that"])
def test_renamed_values_of_an_enum_are_counted_anew(history: Database, lake: str, kind: str) -> None:
    run(
        history,
        "CREATE TYPE scenes AS ENUM ('studio', 'beach');"
        "CREATE DOMAIN domain_of_it AS scenes; CREATE DOMAIN domain_of_that AS domain_of_it;"
        f"ALTER TABLE prompt_usage ALTER scene TYPE {kind} USING scene::scenes",
    )
    assert_true(history, lake)
    before = versions(lake)
    run(history, "ALTER TYPE scenes RENAME VALUE 'studio' TO 'atelier'")
    assert_true(history, lake)
    assert rows_of(history, "SELECT scene FROM scene_stats") == [("atelier",)]
    assert all(before[day] != version for day, version in versions(lake).items())


@pytest.mark.parametrize(
    "rewrite", ["VACUUM FULL prompt_usage", "CLUSTER prompt_usage USING prompt_usage_pkey"]
)
def test_a_rewrite_that_changes_nothing_is_compared_and_not_read_again(
    history: Database, lake: str, rewrite: str
) -> None:
    before = versions(lake)
    with psycopg.connect(history.conninfo, autocommit=True) as operator:
        operator.execute(rewrite.encode())
    assert plan_refresh(at(history, lake)).days == sorted(before)
    assert_true(history, lake)
    assert versions(lake) == before


def test_while_triggers_are_off_each_refresh_compares_every_day(history: Database, lake: str) -> None:
    run(history, OFF)
    for statement in (
        GIVEN.format("now()", "NULL"),
        GIVEN.format(OLD_DAY, "3"),
        f"DELETE FROM prompt_usage WHERE id = {ONE}",
        f"UPDATE prompt_usage SET scene = 'z', ingest_xid = 10^12 WHERE id = {ONE}",
    ):
        run(history, statement)
        assert_true(history, lake)
    run(history, GIVEN.format(OLD_DAY, "NULL"))
    run(history, ON)
    assert_true(history, lake)
    assert rows_of(history, "SELECT is_watched FROM stats_source") == [(True,)]


def test_what_was_not_compared_is_not_promised(history: Database, lake: str) -> None:
    """A publish that follows no sync does not say that it knows of rows that nothing told it of."""
    before = rows_of(history, "SELECT max(as_of) FROM stats_refresh")
    run(history, without_triggers(GIVEN.format("now()", "NULL")))
    report = publish(at(history, lake))
    assert [(report.as_of,)] == before
    run(history, OFF)
    compared = sync_days(at(history, lake), []).snapshot
    run(history, GIVEN.format("now()", "NULL"))
    assert publish(at(history, lake)).as_of <= compared.as_of
    assert_true(history, lake)


def test_a_role_that_may_not_give_a_row_an_id_refuses_and_the_stats_stay(
    history: Database, lake: str
) -> None:
    before = published(history)
    run(history, f"UPDATE prompt_usage SET ingest_xid = 10^12 WHERE id = {ONE}")
    with as_role(history, "pipeline") as seen:
        role = conninfo_to_dict(seen.conninfo)["user"]
        run(history, f'REVOKE UPDATE (ingest_xid) ON prompt_usage FROM "{role}"')
        with pytest.raises(DatabaseError, match=r"GRANT UPDATE \(ingest_xid\)"):
            refresh(at(seen, lake))
        assert published(history) == before
        run(history, f'GRANT UPDATE (ingest_xid) ON prompt_usage TO "{role}"')
        refresh(at(seen, lake))
        assert_true(history, lake)


def test_an_expired_day_gets_what_came_without_a_note(history: Database, lake: str) -> None:
    retain(at(history, lake), days=20)
    counts = refresh(at(history, lake)).usage_count
    old = f"'{TODAY - 40 * ONE_DAY} 12:00Z'"
    run(history, without_triggers(GIVEN.format(old, "NULL") + ";" + GIVEN.format("NULL", "3")))
    assert refresh(at(history, lake)).usage_count == counts + 2
    assert plan_refresh(at(history, lake)).days == []
    assert retain(at(history, lake), days=20).rows == 2
    assert refresh(at(history, lake)).usage_count == counts + 2


def test_reconcile_finds_days_that_only_postgres_has(history: Database, lake: str) -> None:
    run(history, without_triggers(GIVEN.format(OLD_DAY, "3")))
    report = reconcile(at(history, lake))
    assert list(report.repaired) == [TODAY - 77 * ONE_DAY]
    assert_equals_recount(history, FIRST_DAY)


@pytest.fixture(scope="module")
def logical_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that replicates logically."""
    root = tmp_path_factory.mktemp("logical")
    root.chmod(0o711)
    server = Server(root)
    server.initialise()
    with (server.data / "postgresql.auto.conf").open("a") as configuration:
        configuration.write("wal_level = logical\nfsync = off\n")
    server.start()
    try:
        yield make_conninfo(server.conninfo(), dbname="postgres")
    finally:
        server.stop()


EVERYTHING = "SELECT id, success FROM prompt_usage ORDER BY id"


def test_a_subscriber_of_logical_replication_is_compared_at_each_refresh(logical_url: str, lake: str) -> None:
    with psycopg.connect(logical_url, autocommit=True) as administrator:
        for name in ("publisher", "subscriber"):
            administrator.execute(f"CREATE DATABASE {name}".encode())
    there, here = (
        Database.from_url(make_conninfo(logical_url, dbname=name)) for name in ("publisher", "subscriber")
    )
    migrate(there)
    migrate(here)
    with psycopg.connect(there.conninfo, autocommit=True) as app:
        app.execute("CREATE PUBLICATION app FOR TABLE prompt_usage")
        app.execute("SELECT pg_create_logical_replication_slot('copy', 'pgoutput')")
        app.execute(
            "INSERT INTO prompt_usage (prompt_id) SELECT gen_random_uuid() FROM generate_series(1, 3)"
        )
    with psycopg.connect(here.conninfo, autocommit=True) as operator:
        operator.execute(
            f"CREATE SUBSCRIPTION copy CONNECTION '{make_conninfo(logical_url, dbname='publisher')}'"
            " PUBLICATION app"
            " WITH (create_slot = false, copy_data = false)".encode()
        )
    try:
        for statement in (
            "SELECT 1",
            f"DELETE FROM prompt_usage WHERE id = {ONE}",
            f"UPDATE prompt_usage SET success = false WHERE id = {ONE}",
            "INSERT INTO prompt_usage (prompt_id) VALUES (gen_random_uuid())",
            "TRUNCATE prompt_usage",
        ):
            run(there, statement)
            wait_until(lambda: rows_of(here, EVERYTHING) == rows_of(there, EVERYTHING))
            assert_true(here, lake)
        assert rows_of(here, "SELECT unnoted, is_watched FROM stats_source") == [
            ("logical replication", False)
        ]
    finally:
        run(here, "ALTER SUBSCRIPTION copy DISABLE")
        run(here, "ALTER SUBSCRIPTION copy SET (slot_name = NONE)")
        with psycopg.connect(here.conninfo, autocommit=True) as operator:
            operator.execute("DROP SUBSCRIPTION copy")
        here.close()
        there.close()


# A table that is not seen whole ----------------------------------------------------------------------

POLICIES = {
    "none": "SELECT 1",
    "36 hours": "CREATE POLICY recent ON prompt_usage USING (created_at > now() - interval '36 hours')",
    "every row": "CREATE POLICY all_rows ON prompt_usage USING (true)",
}

STEPS: dict[str, Callable[[Installation], object]] = {
    "refresh": refresh,
    "plan": plan_refresh,
    "sync": lambda installation: sync_days(installation, [TODAY], replace=True),
    "publish": publish,
    "reconcile": reconcile,
    "retain": lambda installation: retain(installation, days=5),
    "erase": lambda installation: erase_user(installation, str(USER)),
    "status": reading.status,
    "track missing": track_missing,
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_row_level_security_is_refused_and_later_all_are_counted(
    history: Database, lake: str, policy: str
) -> None:
    before = published(history)
    with as_role(history, "pipeline") as seen:
        run(history, f"ALTER TABLE prompt_usage ENABLE ROW LEVEL SECURITY; {policy}")
        run(history, INSERT, (PROMPT, USER, "studio", NOW))
        for name, step in STEPS.items():
            with pytest.raises(DatabaseError, match=r"row level security.*BYPASSRLS"):
                step(at(seen, lake))
            assert published(history) == before, name
        assert rows_of(history, "SELECT count(*) FROM prompt_usage") == [(2 * len(AGES) + 1,)]
        run(history, "ALTER TABLE prompt_usage DISABLE ROW LEVEL SECURITY")
        refresh(at(seen, lake))
        assert_true(history, lake)


def test_the_owner_sees_every_row_unless_it_is_forced(history: Database, lake: str) -> None:
    with as_role(history, "pipeline") as seen:
        run(history, f'ALTER TABLE prompt_usage OWNER TO "{conninfo_to_dict(seen.conninfo)["user"]}"')
        run(history, "ALTER TABLE prompt_usage ENABLE ROW LEVEL SECURITY")
        refresh(at(seen, lake))
        assert_true(history, lake)
        run(history, "ALTER TABLE prompt_usage FORCE ROW LEVEL SECURITY")
        with pytest.raises(DatabaseError, match="row level security"):
            refresh(at(seen, lake))
        run(history, "ALTER TABLE prompt_usage OWNER TO CURRENT_USER")


def test_no_connection_of_ours_filters_rows(history: Database) -> None:
    """Switched on after the look at it, row level security is an error of the statement."""
    with as_role(history, "pipeline") as seen:
        run(history, "ALTER TABLE prompt_usage ENABLE ROW LEVEL SECURITY")
        with seen.engine.connect() as connection, pytest.raises(ProgrammingError) as refused:
            connection.execute(text("SELECT count(*) FROM prompt_usage"))
        assert fault_of(refused.value) is Fault.HIDDEN_ROWS
        with (
            pytest.raises(DatabaseError, match=r"row-level security.*BYPASSRLS"),
            seen.adbc() as bulk,
            bulk.cursor() as cursor,
        ):
            cursor.execute("SELECT count(*) FROM prompt_usage")


CHILD = "CREATE TABLE child () INHERITS (prompt_usage)"


def test_child_tables_are_refused_and_nothing_of_them_is_removed(history: Database, lake: str) -> None:
    before = published(history)
    run(
        history,
        f"{CHILD}; INSERT INTO child (prompt_id) SELECT gen_random_uuid() FROM generate_series(1, 30)",
    )
    for step in STEPS.values():
        with pytest.raises(DatabaseError, match="INHERITS"):
            step(at(history, lake))
    with pytest.raises(DatabaseError, match="by inheritance with child"):
        plan_migration(history)
    assert published(history) == before
    assert rows_of(history, "SELECT count(*) FROM child") == [(30,)]
    run(history, "ALTER TABLE child NO INHERIT prompt_usage")
    assert_true(history, lake)


VIEWS = {
    "a view of some rows": "CREATE VIEW prompt_usage AS SELECT * FROM usage WHERE scene = 'studio'",
    "a copy": "CREATE MATERIALIZED VIEW prompt_usage AS SELECT * FROM usage",
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_what_is_no_table_is_refused_and_no_day_expires(history: Database, lake: str, view: str) -> None:
    before = published(history)
    run(history, f"ALTER TABLE prompt_usage RENAME TO usage; {view}")
    for name, step in STEPS.items():
        with pytest.raises(DatabaseError, match="is not a table, so it may show"):
            step(at(history, lake))
        assert published(history) == before, name
    assert rows_of(history, "SELECT count(*) FROM stats_expired_day") == [(0,)]
    assert rows_of(history, "SELECT count(*) FROM usage") == [(2 * len(AGES),)]
    with named(history, "prompt_usage=usage") as seen:
        migrate(seen)
        run(history, "INSERT INTO usage (prompt_id) VALUES (gen_random_uuid())")
        assert refresh(at(seen, lake)).usage_count == 2 * len(AGES) + 1


def test_a_parent_is_refused(history: Database, lake: str) -> None:
    run(history, "CREATE TABLE parent (id uuid NOT NULL); ALTER TABLE prompt_usage INHERIT parent")
    with pytest.raises(DatabaseError, match="INHERITS"):
        refresh(at(history, lake))
    with pytest.raises(DatabaseError, match="by inheritance with parent"):
        migrate(history)


# Retention -------------------------------------------------------------------------------------------


def late(database: Database, rows: list[tuple[str, str]]) -> Callable[[int, int], None]:
    """As the first rows are removed, others come without a note; each an id and an ``ingest_xid`` as SQL."""
    came = False

    def progress(_done: int, _total: int) -> None:
        nonlocal came
        if not came:
            came = True
            at = f"'{TODAY - 40 * ONE_DAY} 12:00Z'"
            for event_id, xid in rows:
                run(
                    database,
                    without_triggers(
                        "INSERT INTO prompt_usage (id, prompt_id, created_at, ingest_xid)"
                        f" VALUES ({event_id}, gen_random_uuid(), {at}, {xid})"
                    ),
                )

    return progress


def test_rows_that_the_lake_does_not_have_stay_and_are_counted(history: Database, lake: str) -> None:
    counts = refresh(at(history, lake)).usage_count
    unknown = [("gen_random_uuid()", "NULL"), ("gen_random_uuid()", "3")]
    report = retain(at(history, lake), 20, late(history, unknown))
    assert (report.rows, report.rows_kept) == (6, 2)
    assert refresh(at(history, lake)).usage_count == counts + 2
    again = retain(at(history, lake), 20)
    assert (again.rows, again.rows_kept) == (2, 0)


def test_of_rows_with_one_id_none_is_removed_unless_the_lake_has_as_many(
    history: Database, lake: str
) -> None:
    run(history, "ALTER TABLE prompt_usage DROP CONSTRAINT prompt_usage_pkey")
    one = uuid.UUID(int=1)
    old = f"created_at < '{TODAY - 39 * ONE_DAY}' AND created_at > '{FIRST_DAY}'"
    run(history, f"UPDATE prompt_usage SET id = '{one}' WHERE {old}")
    refresh(at(history, lake))
    report = retain(at(history, lake), 20, late(history, [(f"'{one}'", "NULL")]))
    assert (report.rows, report.rows_kept) == (4, 3)
    assert rows_of(history, f"SELECT count(*) FROM prompt_usage WHERE id = '{one}'") == [(3,)]


# Settings that must not change -----------------------------------------------------------------------

EARLIER, LATER = dt.date(2024, 3, 1), TODAY - 30 * ONE_DAY


@pytest.mark.parametrize("day", [EARLIER, LATER])
def test_another_first_day_is_refused_until_it_is_accepted(
    history: Database, lake: str, day: dt.date
) -> None:
    before = published(history)
    for name, step in STEPS.items():
        with pytest.raises(SettingsError, match=f"{day}.*{FIRST_DAY}.*accept-settings"):
            step(at(history, lake, day))
        assert published(history) == before, name
    assert_true(history, lake)

    report = accept_settings(at(history, lake, day))
    assert report.before
    assert (report.before.first_day, report.after.first_day) == (FIRST_DAY, day)
    assert published(history) == before
    with pytest.raises(SettingsError, match=f"{FIRST_DAY}.*{day}"):
        refresh(at(history, lake))
    assert_true(history, lake, day)
    reconciled = reconcile(at(history, lake, day))
    assert (reconciled.repaired, reconciled.lost, reconciled.rows_corrected) == ({}, {}, {})
    assert min(open_usage_events(lake).days()["day"]) >= day

    accept_settings(at(history, lake))
    assert_true(history, lake)


def test_days_before_the_first_are_not_published(history: Database, lake: str) -> None:
    """As a crash of ``accept-settings`` may leave them."""
    before = published(history)
    run(history, "UPDATE stats_source SET first_day = %s", (LATER,))
    with pytest.raises(LakeError, match="accept-settings"):
        refresh(at(history, lake, LATER))
    assert published(history) == before
    run(history, "UPDATE stats_source SET first_day = %s", (FIRST_DAY,))
    accept_settings(at(history, lake, LATER))
    assert_true(history, lake, LATER)


def test_days_that_only_the_lake_has_are_not_divided(history: Database, lake: str) -> None:
    before = published(history)
    retain(at(history, lake), days=20)
    for day in (EARLIER, LATER):
        with pytest.raises(InputError, match=r"retention removed the raw rows of [12] days"):
            accept_settings(at(history, lake, day))
    refresh(at(history, lake))
    assert published(history) == before


def test_every_command_refuses_and_one_accepts(
    history: Database, lake: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", history.conninfo)
    monkeypatch.setenv("PROMPT_STATS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROMPT_STATS_LAKE_URI", lake)
    monkeypatch.setenv("PROMPT_STATS_START_DATE", str(LATER))
    settings.cache_clear()
    try:
        for command in (
            ("status",),
            ("refresh",),
            ("check",),
            ("reconcile",),
            ("backfill", "--from", str(TODAY), "--to", str(TODAY)),
            ("retain", "--days", "5"),
            ("erase-user", str(USER), "--yes"),
        ):
            ended = invoke(*command)
            assert isinstance(ended.exception, PromptStatsError), command
            assert f"PROMPT_STATS_START_DATE={FIRST_DAY}" in str(ended.exception)
        assert invoke("accept-settings").exit_code == 2, "there is no terminal to ask on"
        accepted = invoke("accept-settings", "--yes")
        assert accepted.exit_code == 0, accepted.output
        assert invoke("refresh").exit_code == 0
        assert_equals_recount(history, LATER)
        assert "Nothing to do" in invoke("accept-settings").output
    finally:
        settings.cache_clear()


@contextmanager
def named(database: Database, names: str) -> Iterator[Database]:
    """The database, its tables called otherwise."""
    seen = Database.from_url(database.conninfo, names=TableNames.parse(names))
    try:
        yield seen
    finally:
        seen.close()


def test_another_table_by_its_setting_is_refused_and_one_that_was_renamed_is_not(
    history: Database, lake: str
) -> None:
    before = published(history)
    run(history, "CREATE TABLE other (LIKE prompt_usage INCLUDING ALL)")
    with named(history, "prompt_usage=other") as elsewhere:
        migrate(elsewhere)
        with pytest.raises(SettingsError, match=r"public\.other here.*prompt_usage.*accept-settings"):
            refresh(at(elsewhere, lake))
        assert published(history) == before
        accept_settings(at(elsewhere, lake))
        assert refresh(at(elsewhere, lake)).usage_count == 0
    run(history, "DROP SCHEMA prompt_stats CASCADE; ALTER TABLE other RENAME TO events")
    with named(history, "prompt_usage=events") as renamed:
        migrate(renamed)
        run(history, "INSERT INTO events (prompt_id) VALUES (gen_random_uuid())")
        assert refresh(at(renamed, lake)).usage_count == 1


def test_another_table_by_the_search_path_is_refused(history: Database, lake: str) -> None:
    before = published(history)
    run(history, "CREATE SCHEMA staging; CREATE TABLE staging.prompt_usage (LIKE prompt_usage INCLUDING ALL)")
    elsewhere = Database(make_conninfo(history.conninfo, options="-c search_path=staging,public"))
    for step in (refresh, reconcile):
        with pytest.raises(DatabaseError, match="in the schema staging, but the stats in public"):
            step(at(elsewhere, lake))
    elsewhere.close()
    assert published(history) == before


def test_a_view_over_another_table_than_named_is_refused(history: Database, lake: str) -> None:
    run(history, "ALTER TABLE prompt_usage RENAME TO usage")
    with named(history, "prompt_usage=usage") as seen:
        migrate(seen)
        refresh(at(seen, lake))
        run(history, "ALTER TABLE usage RENAME TO before; CREATE TABLE usage (LIKE before INCLUDING ALL)")
        with pytest.raises(DatabaseError, match="is a view, but not of"):
            refresh(at(seen, lake))
