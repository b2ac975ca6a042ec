"""The roles of ``sql/roles/``: each can do its work with what its file grants, and nothing beyond."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer.main
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import dict_row, scalar_row, tuple_row

from pipeline.adoption.schema import VERSION_TABLE, migrate, require_current
from pipeline.answers import reading
from pipeline.answers.comparison import Asked
from pipeline.answers.export import TABLES as TABLES_TO_EXPORT
from pipeline.answers.export import Format, open_export
from pipeline.cli.main import app
from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.errors import DatabaseError
from pipeline.health.checks.clocks import stats_are_fresh
from pipeline.health.doctor.findings import Status
from pipeline.health.doctor.rights import NEEDED, rights
from pipeline.health.doctor.setup import Setup
from pipeline.lake.acceptance import accept_settings
from pipeline.lake.upkeep import keep_up
from pipeline.maintenance import rejected
from pipeline.maintenance.coverage import track_missing
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.orchestration.instance import EVENT_SETTINGS
from pipeline.refresh import plan_refresh, refresh
from pipeline.samples.seeding import seed_prompts
from pipeline.samples.simulation import simulate
from pipeline.settings import settings
from pipeline.tracking import PromptTracker
from pipeline.web.api.operation import OPERATION
from tests.api import served
from tests.app import at
from tests.cli import invoke
from tests.command import prompt_stats
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount
from tests.psql import psql
from tests.roles import FOLDER, as_role

SLUG = "portrait-selfie-casual"
YESTERDAY = str(dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1))
TABLES = sorted([*tables.metadata.tables, *tables.views.tables, VERSION_TABLE])
STATS = {table.name for table in (*tables.STATS_TABLES, *tables.VALUE_TABLES, tables.user_prompt_stats)}
ALERTS = ("stats_alerts", "stats_alert_evaluation")

OF_OWNERS = {"migrate", "seed-prompts", "simulate", "demo"}
THAT_STAY = {"serve", "ui"}
CALLED = {
    "backfill",
    "accept-settings",
    "reconcile",
    "keep-up",
    "retain",
    "erase-user",
    "track-missing",
    "check",
    "report",
}
"""Commands of the pipeline's role whose functions are called as that role here, or by ``test_checks.py``; a
report only reads, and it may read every table."""
COMMANDS = {
    "refresh": [],
    "rejected": ["list"],
    "send-journal": ["."],
    "status": [],
    "doctor": [],
    "top": [],
    "show": [SLUG],
    "compare": [SLUG, "--before", YESTERDAY],
    "drift": [],
    "alerts": [],
    "export": ["prompts"],
    "exec": ["true"],
    "claim-lake": [],
}
"""The others, and what they are given."""

GRANTED = """
    WITH granted AS (
        SELECT NULL AS table_name, NULL AS column_name, datacl AS acl
        FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT relname, NULL, relacl FROM pg_class
        UNION ALL SELECT relname, attname, attacl FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    )
    SELECT table_name, privilege_type, column_name FROM granted, aclexplode(acl)
    WHERE grantee = %s::regrole ORDER BY 1, 2, 3
"""

ALLOWED = """
    SELECT table_name, array_agg(granted)
    FROM unnest(%s::text[]) AS t (table_name),
        unnest('{SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER}'::text[]) AS r (granted)
    WHERE CASE
        WHEN has_table_privilege(table_name, granted) THEN true
        WHEN %s AND granted IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
            THEN has_any_column_privilege(table_name, granted)
    END
    GROUP BY table_name
"""


@pytest.fixture
def database(database: Database) -> Database:
    """A migrated database with the shipped prompts."""
    seed_prompts(database)
    return database


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection; each statement is a transaction."""
    with psycopg.connect(database.conninfo, autocommit=True, row_factory=scalar_row) as connection:
        yield connection


@pytest.fixture
def pipeline(database: Database, lake: str) -> Iterator[Database]:
    """The database, with some days of events, as the pipeline's role that has counted them."""
    simulate(database, events=500, days=20, seed=1)
    with as_role(database, "pipeline") as seen:
        refresh(at(seen, lake))
        yield seen


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Changes the environment, and with it the settings."""
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def allowed(database: Database, *, in_part: bool) -> dict[str, set[str]]:
    """What the role may do with which table; ``in_part``: with some of its columns, too."""
    with psycopg.connect(database.conninfo) as connection:
        return {name: set(granted) for name, granted in connection.execute(ALLOWED, [TABLES, in_part])}


def assert_refused(database: Database, *statements: str) -> None:
    for statement in statements:
        with psycopg.connect(database.conninfo) as connection, pytest.raises(InsufficientPrivilege):
            connection.execute(statement.encode())


def test_a_file_stops_at_an_error(database: Database) -> None:
    with pytest.raises(AssertionError, match='role "nobody" does not exist'):
        psql(database, "--set=role=nobody", f"--file={FOLDER / 'reader.sql'}")


def test_the_reader_reads_stats_and_prompts_and_no_events(database: Database) -> None:
    with as_role(database, "reader") as reader:
        whole = {
            name: {"SELECT"}
            for name in {
                *STATS,
                "prompts",
                "prompt_marker",
                "stats_refresh",
                "stats_freshness",
                "stats_day",
                *ALERTS,
                VERSION_TABLE,
            }
        }
        assert allowed(reader, in_part=False) == whole
        assert allowed(reader, in_part=True) == {**whole, "prompt_favorites": {"SELECT"}}
        assert_refused(
            reader,
            "SELECT count(*) FROM prompt_usage",
            "SELECT sort_order FROM prompt_favorites",
            "UPDATE prompts SET usage_count = 0",
            "CREATE TABLE mine ()",
        )


def test_the_reader_can_use_the_command_line(
    database: Database, owner: psycopg.Connection[Any], lake: str
) -> None:
    owner.execute("INSERT INTO prompt_usage (prompt_id) SELECT id FROM prompts WHERE slug = %s", [SLUG])
    refresh(at(database, lake))
    with as_role(database, "reader") as reader:
        require_current(reader)
        assert reading.top_prompts(at(reader, lake), 1)["prompts"][0]["slug"] == SLUG
        assert reading.prompt(at(reader, lake), SLUG)["usage_count"] == 1
        assert reading.prompt(at(reader, lake), SLUG, Asked(days=7))["usage_count"] == 1
        for table in TABLES_TO_EXPORT:
            with open_export(reader, table, Format.CSV) as export:
                assert sum(chunk.rows for chunk in export.chunks) == export.row_count


@pytest.mark.parametrize("mode", ["buffered", "direct"])
def test_the_app_appends_events_and_reads_none(
    database: Database, owner: psycopg.Connection[Any], mode: Any
) -> None:
    prompt_id = owner.execute("SELECT id FROM prompts WHERE slug = %s", [SLUG]).fetchone()
    with as_role(database, "app") as app:
        # Twice: a repeated event goes another way.
        for _ in range(2):
            with PromptTracker(app.conninfo, mode=mode) as tracker:
                for number, key in enumerate((prompt_id, SLUG, "unknown")):
                    tracker.track_post_creation(prompt_id=key, event_id=uuid.UUID(int=number))
                    assert tracker.flush(20)
                stats = tracker.stats()
                assert (stats.written, stats.rejected, stats.failed) == (2, 1, 0)
        assert owner.execute("SELECT count(*) FROM prompt_usage").fetchone() == 2
        assert owner.execute("SELECT count(*) FROM prompt_usage_rejected").fetchone() == 1

        assert allowed(app, in_part=False) == {"prompt_usage": {"INSERT"}}
        assert allowed(app, in_part=True) == {
            "prompt_usage": {"SELECT", "INSERT"},
            "prompt_usage_rejected": {"SELECT", "INSERT"},
            "prompts": {"SELECT"},
        }
        assert_refused(
            app,
            "SELECT user_id FROM prompt_usage",
            "SELECT payload FROM prompt_usage_rejected",
            "SELECT template FROM prompts",
        )


def test_the_api_answers_and_takes_what_it_is_sent(database: Database, lake: str) -> None:
    simulate(database, events=100, days=5, seed=1)
    refresh(at(database, lake))
    user = f"/users/{uuid.UUID(int=1)}"
    sent = [
        ("POST", "/events", [{"eventId": str(uuid.UUID(int=1)), "promptId": SLUG}]),
        ("PUT", f"{user}/favorites/{SLUG}", None),
        ("PUT", f"{user}/favorites", {"promptIds": [str(uuid.UUID(int=2))]}),
        ("DELETE", f"{user}/favorites/{SLUG}", None),
        *(("PUT", f"/prompts/{SLUG}/markers/{YESTERDAY}", {"note": note}) for note in ("new", "newer")),
        ("DELETE", f"/prompts/{SLUG}/markers/{YESTERDAY}", None),
    ]
    with (
        as_role(database, "reader", "app", "api") as api,
        served(api, PROMPT_STATS_LAKE_URI=lake) as client,
    ):
        parameters = {path: {"ids": SLUG} for path in ("/prompts/compare", "/prompts/sparklines")}
        parameters["/prompts/difference"] = {"ids": SLUG, "before": YESTERDAY}
        known = {
            "by": "scenes",
            "key": SLUG,
            "user_id": str(uuid.UUID(int=1)),
            "ranking": "best",
            "table": "prompts",
        }
        for path, methods in client.get("/openapi.json").json()["paths"].items():
            if "get" in methods:
                answer = client.get(path.format(**known), params=parameters.get(path))
                assert answer.is_success, f"{path}: {answer.text}"
        for method, path, body in sent:
            answer = client.request(method, path, json=body)
            assert answer.is_success, f"{method} {path}: {answer.text}"
        assert_refused(
            api,
            "SELECT user_id FROM prompt_usage",
            "SELECT payload FROM prompt_usage_rejected",
            "UPDATE prompt_favorites SET user_id = gen_random_uuid()",
            "UPDATE prompt_marker SET day = CURRENT_DATE",
            "UPDATE prompts SET usage_count = 0",
        )


def test_the_pipeline_refreshes_and_reconciles_tables_of_another(
    database: Database, pipeline: Database, owner: psycopg.Connection[Any], lake: str
) -> None:
    assert_equals_recount(database, FIRST_DAY)

    owner.execute("DELETE FROM prompt_usage WHERE created_at < now() - interval '15 days'")
    owner.execute("UPDATE prompt_usage SET success = NULL WHERE created_at < now() - interval '10 days'")
    owner.execute("INSERT INTO prompt_usage (prompt_id, created_at) SELECT id, NULL FROM prompts")
    refresh(at(pipeline, lake), values=True)
    refresh(at(pipeline, lake), [FIRST_DAY, dt.datetime.now(dt.UTC).date()], replace=True)
    assert_equals_recount(database, FIRST_DAY)

    owner.execute("DELETE FROM scene_stats")
    owner.execute("UPDATE user_prompt_stats SET usage_count = 0")
    corrected = reconcile(at(pipeline, lake)).rows_corrected
    assert corrected.keys() == {"scene_stats", "user_prompt_stats"}
    assert_equals_recount(database, FIRST_DAY)

    owner.execute("UPDATE prompt_usage SET ingest_xid = 10^12 WHERE created_at > CURRENT_DATE - 3")
    accept_settings(at(pipeline, lake, FIRST_DAY - dt.timedelta(days=1)))
    accept_settings(at(pipeline, lake))
    refresh(at(pipeline, lake))
    assert_equals_recount(database, FIRST_DAY)

    require_current(pipeline)
    assert reading.status(at(pipeline, lake))["stale_days"] == []


def test_the_pipeline_appends_what_was_missed_and_rejected(
    database: Database, pipeline: Database, owner: psycopg.Connection[Any], lake: str
) -> None:
    owner.execute(
        "INSERT INTO posts (prompt_id, created_at) SELECT id, now() - interval '1 day' FROM prompts LIMIT 1"
    )
    assert track_missing(at(pipeline, lake)).tracked == 1

    with PromptTracker(database.conninfo) as tracker:
        for slug in ("late", "never"):
            tracker.track_post_creation(prompt_id=slug)
    owner.execute("INSERT INTO prompts (slug, name, template) VALUES ('late', '', '')")
    assert rejected.replay(pipeline) == rejected.ReplayReport(taken=1, rejected=1)
    assert rejected.rejections(pipeline, 1).count == rejected.discard(pipeline) == 1


def test_the_pipeline_removes_old_events_and_persons(
    database: Database, pipeline: Database, owner: psycopg.Connection[Any], lake: str
) -> None:
    user = owner.execute("SELECT user_id FROM prompt_favorites LIMIT 1").fetchone()
    erased = erase_user(at(pipeline, lake), str(user))
    assert erased.rows["prompt_favorites"] > 0
    assert (erased.found, erased.unread) == ({}, {})
    assert_equals_recount(database, FIRST_DAY)
    assert retain(at(pipeline, lake), days=5).rows > 0
    assert keep_up(at(pipeline, lake))


def test_only_the_owner_can_renew_the_transaction_ids_of_a_restored_table(
    database: Database, pipeline: Database, owner: psycopg.Connection[Any], lake: str
) -> None:
    owner.execute("UPDATE stats_lake_token SET token = token + 1")
    refresh(at(pipeline, lake))
    assert plan_refresh(at(pipeline, lake)).days == []

    owner.execute("UPDATE stats_lake_token SET token = token + 1")
    owner.execute("UPDATE prompt_usage SET ingest_xid = ingest_xid + 1000000")
    with pytest.raises(DatabaseError, match="once as the owner of prompt_usage"):
        refresh(at(pipeline, lake))
    refresh(at(database, lake))
    refresh(at(pipeline, lake))
    assert_equals_recount(database, FIRST_DAY)


def test_the_pipeline_changes_nothing_of_the_apps_but_the_counters(
    pipeline: Database, owner: psycopg.Connection[Any], lake: str
) -> None:
    assert_refused(
        pipeline,
        "UPDATE prompts SET name = ''",
        "UPDATE prompts SET updated_at = now()",
        "INSERT INTO prompts (name, template) VALUES ('', '')",
        "DELETE FROM prompts",
        "UPDATE prompt_usage SET success = true",
        "TRUNCATE prompt_usage",
        "UPDATE prompt_usage_rejected SET payload = '{}'",
        "UPDATE prompt_favorites SET sort_order = 0",
        "DELETE FROM prompt_marker",
        "DELETE FROM posts",
        "DELETE FROM stats_refresh",
        "CREATE TABLE mine ()",
    )
    # Nor these, with write-back off.
    role = sql.Identifier(str(conninfo_to_dict(pipeline.conninfo)["user"]))
    owner.execute(sql.SQL("REVOKE UPDATE ON prompts FROM {}").format(role))
    owner.execute("DELETE FROM prompt_usage WHERE created_at < now() - interval '10 days'")
    comparing = replace(pipeline, write_back=False)
    assert "prompts" not in refresh(at(comparing, lake)).rows_written
    setup = Setup()
    setup.database = comparing
    assert {each.status for each in rights(setup)} == {Status.OK}
    comparing.close()
    assert_refused(pipeline, "UPDATE prompts SET usage_count = 0")


def test_the_pipelines_role_may_do_what_each_command_does(
    pipeline: Database, lake: str, tmp_path: Path, variables: pytest.MonkeyPatch
) -> None:
    granted = allowed(pipeline, in_part=False)
    assert [table for table in TABLES if "SELECT" not in granted[table]] == []
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # an app with commands is a group
    assert COMMANDS.keys() | CALLED | OF_OWNERS | THAT_STAY == known
    given = {
        "DATABASE_URL": pipeline.conninfo,
        "PROMPT_STATS_HOME": str(tmp_path / "home"),
        "PROMPT_STATS_LAKE_URI": lake,
        # What a refresh sets for its children goes with the test.
        "DAGSTER_HOME": str(tmp_path / "home" / "dagster"),
        **EVENT_SETTINGS,
    }
    for name, value in given.items():
        variables.setenv(name, value)
    variables.chdir(tmp_path)
    for command, arguments in COMMANDS.items():
        ended = invoke(command, *arguments)
        assert ended.exit_code == 0, f"{command}: {ended.output} {ended.exception}"


def test_the_doctor_names_each_right_that_is_taken_away(
    database: Database, owner: psycopg.Connection[Any], variables: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with as_role(database, "pipeline") as seen:
        variables.setenv("DATABASE_URL", seen.conninfo)
        setup = Setup()
        role = sql.Identifier(str(conninfo_to_dict(seen.conninfo)["user"]))
        granted = owner.cursor(row_factory=tuple_row).execute(GRANTED, [role.as_string()]).fetchall()
        assert {*granted} == {*NEEDED}
        assert {each.status for each in rights(setup)} == {Status.OK}
        for table, privilege, column in granted:
            names = {
                "right": sql.SQL(f"{privilege} ({column})" if column else privilege),
                "on": sql.SQL(table or f"DATABASE {owner.info.dbname}"),
                "role": role,
            }
            owner.execute(sql.SQL("REVOKE {right} ON {on} FROM {role}").format(**names))
            [found] = rights(setup)
            on = table or "the database"
            assert found.summary == f"{names['right'].as_string()} on {on} is not granted"
            assert "sql/roles/pipeline.sql" in str(found.remedy)
            owner.execute(sql.SQL("GRANT {right} ON {on} TO {role}").format(**names))
        setup.close()
        owner.execute(sql.SQL("REVOKE SELECT ON stats_day FROM {}").format(role))
        ended = prompt_stats(tmp_path, "status", DATABASE_URL=seen.conninfo)
    assert ended.returncode == 1
    assert "SELECT on stats_day is not granted" in ended.stderr
    assert "-f sql/roles/pipeline.sql" in ended.stderr


def test_the_tables_may_be_in_another_schema(
    database: Database, owner: psycopg.Connection[Any], lake: str
) -> None:
    simulate(database, events=100, days=5, seed=1)
    owner.execute('ALTER SCHEMA public RENAME TO "Shop"')
    there = Database(make_conninfo(database.conninfo, options='-c search_path="Shop" -c TimeZone=UTC'))
    migrate(there)
    with as_role(there, "reader", "app", "api", "pipeline", schema="Shop") as seen:
        refresh(at(seen, lake))
        owner.execute("""DELETE FROM "Shop".prompt_usage WHERE created_at < now() - interval '2 days'""")
        refresh(at(seen, lake))
        assert_equals_recount(there, FIRST_DAY)
    there.close()


def test_a_hidden_transaction_is_named_and_has_no_age(
    pipeline: Database, database: Database, lake: str
) -> None:
    """An age of 0 would be untrue, and no alert would ever come."""
    installation = at(pipeline, lake)
    with psycopg.connect(database.conninfo, application_name="forgetful") as writer:
        writer.execute("UPDATE prompts SET name = name WHERE slug = %s", [SLUG])
        held = reading.status(at(pipeline, lake))["oldest_writer"]
        named = [row["name"] for row in stats_are_fresh(installation).worst]
        with psycopg.connect(pipeline.conninfo, row_factory=dict_row) as connection:
            hidden = connection.execute(OPERATION).fetchone()
    assert (held["application_name"], held["open_seconds"]) == ("forgetful", None)
    assert any("forgetful" in name for name in named)
    assert hidden
    assert hidden["oldest_writer_seconds"] is None
