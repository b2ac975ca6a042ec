"""The doctor: each fault that is planted has its line, which says what to do; and all is ok without."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import time

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from pipeline.adoption import schema
from pipeline.database.connections import Database
from pipeline.health.checks import clocks
from pipeline.health.doctor import folders, server
from pipeline.health.doctor import schema as looks
from pipeline.health.doctor.examination import STEPS, Look, examine
from pipeline.health.doctor.findings import Finding, Status
from pipeline.health.doctor.folders import folder
from pipeline.health.doctor.setup import Setup
from pipeline.orchestration import instance
from pipeline.orchestration.home import examine_home
from pipeline.orchestration.jobs import SCHEDULE
from pipeline.refresh import refresh
from pipeline.settings import settings
from tests.app import at
from tests.buckets import buckets
from tests.cli import invoke
from tests.command import prompt_stats
from tests.conftest import NewDatabase
from tests.roles import as_role

SECRET = "sesame"  # noqa: S105  # the test looks for it in what is printed

OK, WARNING, WRONG, UNCHECKED = Status


class Installation:
    """A database, a lake and Dagster's home, as the environment names them."""

    def __init__(self, database: Database, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.database = database
        self.home = home
        self.patch = patch
        self.set(DATABASE_URL=database.conninfo, PROMPT_STATS_HOME=str(home))

    def set(self, **variables: str | None) -> None:
        """Changes the environment."""
        for name, value in variables.items():
            self.patch.delenv(name, raising=False) if value is None else self.patch.setenv(name, value)
        settings.cache_clear()

    @contextmanager
    def given(self, **variables: str | None) -> Iterator[None]:
        """Changes the environment for a block."""
        before = {name: os.environ.get(name) for name in variables}
        self.set(**variables)
        try:
            yield
        finally:
            self.set(**before)

    def execute(self, statements: str) -> None:
        """What somebody does to the database, whatever it is set to."""
        options = "-c default_transaction_read_only=off -c search_path=public"
        with psycopg.connect(self.database.conninfo, options=options, autocommit=True) as connection:
            connection.execute(statements.encode())

    @contextmanager
    def fault(self, plant: str, undo: str) -> Iterator[None]:
        """A fault in the database for a block."""
        self.execute(plant)
        try:
            yield
        finally:
            self.execute(undo)

    @contextmanager
    def dagster(self) -> Iterator[dg.DagsterInstance]:
        """The instance of the home."""
        with dg.DagsterInstance.from_config(str(self.home / "dagster")) as opened:
            yield opened


@pytest.fixture(scope="module")
def installation(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Two events, published, and a daemon that is alive."""
    home = tmp_path_factory.mktemp("home")
    with new_database(migrated_template) as database, pytest.MonkeyPatch.context() as patch:
        made = Installation(database, home, patch)
        # As the command sets them; undone with the rest.
        made.set(DAGSTER_HOME=str(home / "dagster"), **instance.EVENT_SETTINGS)
        instance.prepare_environment(settings().dagster_home)
        made.set(DAGSTER_HOME=None)
        with made.dagster() as opened:
            opened.add_daemon_heartbeat(DaemonHeartbeat(time(), "SCHEDULER", "a daemon"))
        made.execute("INSERT INTO prompts (name, template) VALUES ('a name', 'a text')")
        made.execute("INSERT INTO prompt_usage (prompt_id) VALUES (gen_random_uuid()), (gen_random_uuid())")
        refresh(at(database, settings().lake))
        yield made
    settings.cache_clear()


def examined() -> list[Finding]:
    return list(examine(examine_home))


def look(step: Look) -> list[Finding]:
    """What one step finds."""
    with closing(Setup()) as setup:
        return list(step(setup))


def faults() -> list[Finding]:
    """What is not ok; the warnings and wrong ones say what to do."""
    found = [each for each in examined() if each.status is not OK]
    assert all(each.remedy for each in found if each.status is not UNCHECKED)
    return found


def only_fault() -> Finding:
    [found] = faults()
    return found


def test_all_is_ok_and_nothing_is_left_behind(installation: Installation) -> None:
    before = sorted(installation.home.rglob("*"))
    found = examined()
    assert [each for each in found if each.status is not OK] == []
    assert {each.name for each in found} >= {step.name for step in STEPS} - {"environment"}
    assert {"Dagster", "Dagster daemon", "Dagster home"} <= {each.name for each in found}
    # A database of SQLite that is open has files beside it.
    after = [path for path in sorted(installation.home.rglob("*")) if path in before or "-" not in path.name]
    assert after == before


def test_the_pipelines_role_is_told_what_it_can_not_see(installation: Installation) -> None:
    with as_role(installation.database, "pipeline") as seen, installation.given(DATABASE_URL=seen.conninfo):
        hidden = only_fault()
        assert (hidden.name, hidden.status) == ("transactions", WARNING)
        assert "GRANT pg_read_all_stats" in str(hidden.remedy)
        plant = "ALTER TABLE prompts ENABLE ROW LEVEL SECURITY"
        with installation.fault(plant, "ALTER TABLE prompts DISABLE ROW LEVEL SECURITY"):
            _, secured, tried, changes = faults()
        assert (secured.name, secured.status) == ("rights", WRONG)
        assert secured.summary.startswith("prompts has row level security")
        for after in (tried, changes):
            assert (after.status, after.summary) == (UNCHECKED, "rights has to be fixed first")
        with installation.fault(*FAULTS["trigger that does not fire always"][:2]):
            said = next(each for each in faults() if "another role" in each.summary)
        assert "mark new rows: prompt_usage_note_delete is not ENABLE ALWAYS" in said.summary


TOUCH = """
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
    CREATE TRIGGER touch BEFORE UPDATE {} ON prompts FOR EACH ROW EXECUTE FUNCTION touch()
"""
UNTOUCH = "DROP FUNCTION touch CASCADE"
NUMBERING = """
    CREATE FUNCTION of_app() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {1}; RETURN NEW; END $$;
    CREATE TRIGGER {0} BEFORE INSERT ON prompt_usage FOR EACH ROW EXECUTE FUNCTION of_app()
"""
UNNUMBERED = "DROP FUNCTION of_app CASCADE"
STAMP = """(prompt prompts) RETURNS prompts LANGUAGE plpgsql
    AS $$ BEGIN prompt.updated_at := now(); prompt.template := 'another'; RETURN prompt; END $$"""
OF_DATABASE = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END $$"

FAULTS = {
    "trigger": (
        "ALTER TABLE prompt_usage DISABLE TRIGGER prompt_usage_note_delete",
        "ALTER TABLE prompt_usage ENABLE ALWAYS TRIGGER prompt_usage_note_delete",
        [("tables", WRONG, "mark new rows: prompt_usage_note_delete is disabled")],
    ),
    "trigger that does not fire always": (
        "ALTER TABLE prompt_usage ENABLE TRIGGER prompt_usage_note_delete",
        "ALTER TABLE prompt_usage ENABLE ALWAYS TRIGGER prompt_usage_note_delete",
        [("tables", WRONG, "mark new rows: prompt_usage_note_delete is not ENABLE ALWAYS")],
    ),
    "prompt that no parser of Python reads": (
        f"UPDATE prompts SET tags = '[{'1' * 5_000}]', required_dna = '{'[' * 3_000 + ']' * 3_000}'",
        "UPDATE prompts SET tags = NULL, required_dna = NULL",
        [],
    ),
    "not logged": (
        "ALTER TABLE prompt_usage SET UNLOGGED",
        "ALTER TABLE prompt_usage SET LOGGED",
        [("changes", WARNING, "compares every day of prompt_usage: it is UNLOGGED")],
    ),
    "inheritance": (
        "CREATE TABLE child () INHERITS (prompt_usage)",
        "DROP TABLE child",
        [
            ("tables", WRONG, "shares its rows by inheritance with child"),
            ("changes", WRONG, "has a parent or child table (INHERITS)"),
        ],
    ),
    "another first day": (
        "UPDATE stats_source SET first_day = first_day + 1",
        "UPDATE stats_source SET first_day = first_day - 1",
        [("changes", WRONG, "the stats of this database were made with 2025-01-02")],
    ),
    "columns": (
        "ALTER TABLE posts RENAME scene TO stage; ALTER TABLE posts ALTER outfit TYPE integer USING NULL",
        "ALTER TABLE posts RENAME stage TO scene; ALTER TABLE posts ALTER outfit TYPE text",
        [
            ("tables", WRONG, "public.posts.outfit is integer, and should be character"),
            ("tables", WRONG, "migrate adds the column public.posts.scene"),
        ],
    ),
    "table": (
        "ALTER TABLE scene_stats RENAME TO stage_stats",
        "ALTER TABLE stage_stats RENAME TO scene_stats",
        [("tables", WRONG, "scene_stats: the table is missing")],
    ),
    "view": (
        "ALTER VIEW stats_freshness RENAME TO stats_staleness",
        "ALTER VIEW stats_staleness RENAME TO stats_freshness",
        [("tables", WRONG, "stats_freshness: the view is missing")],
    ),
    "unfinished index": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'prompts_id_text_idx'::regclass",
        "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'prompts_id_text_idx'::regclass",
        [("indexes", WARNING, "migrate creates the index prompts_id_text_idx")],
    ),
    "old revision": (
        "UPDATE prompt_stats_schema_version SET version_num = '2026_11_22_older'",
        "UPDATE prompt_stats_schema_version SET version_num = '2026_12_09_prompt_marker'",
        [
            ("revision", WRONG, "it is at revision 2026_11_22_older"),
            ("rights", UNCHECKED, "revision has to be fixed first"),
            ("open tables", UNCHECKED, "revision has to be fixed first"),
            ("tables", UNCHECKED, "revision has to be fixed first"),
            ("indexes", UNCHECKED, "revision"),
            ("writing", UNCHECKED, "revision"),
            ("the app's triggers", UNCHECKED, "revision"),
            ("changes", UNCHECKED, "revision"),
            ("lag", UNCHECKED, "revision"),
            ("events", UNCHECKED, "revision"),
            ("lake's files", UNCHECKED, "revision"),
        ],
    ),
    "trigger of the app": (
        TOUCH.format(""),
        UNTOUCH,
        [("the app's triggers", WARNING, "also changes updated_at of the prompt: touch did it")],
    ),
    "trigger of the app, on a counter": (
        TOUCH.format("OF name, usage_count"),
        UNTOUCH,
        [("the app's triggers", WARNING, "also changes updated_at of the prompt: touch did it")],
    ),
    "trigger of the app, on its own columns": (TOUCH.format("OF name, template"), UNTOUCH, []),
    "function of a function": (
        TOUCH.format("") + f"; CREATE FUNCTION now_of_app{STAMP};"
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN NEW := now_of_app(NEW); RETURN NEW; END $$",
        UNTOUCH + "; DROP FUNCTION now_of_app",
        [("the app's triggers", WARNING, "also changes template, updated_at of the prompt: touch did it")],
    ),
    "trigger that writes elsewhere, at the end": (
        (
            "CREATE TABLE audit (prompt_id uuid);"
            "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER audit AFTER UPDATE ON prompts DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION audit()"
        ),
        "DROP FUNCTION audit CASCADE; DROP TABLE audit",
        [("the app's triggers", WARNING, "also writes to audit: audit did it")],
    ),
    "trigger that keeps the counters": (
        (
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN NEW.usage_count := OLD.usage_count; RETURN NEW; END $$;"
            "CREATE TRIGGER keep BEFORE UPDATE ON prompts FOR EACH ROW EXECUTE FUNCTION keep()"
        ),
        "DROP FUNCTION keep CASCADE",
        [("the app's triggers", WARNING, "also leaves usage_count as it was: keep did it")],
    ),
    "trigger that refuses": (
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'read only'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON prompts FOR EACH ROW EXECUTE FUNCTION refuse()"
        ),
        "DROP FUNCTION refuse CASCADE",
        [("the app's triggers", WARNING, "a write-back of one prompt's counters failed: read only")],
    ),
    "trigger that empties ingest_xid": (
        NUMBERING.format("zz", "NEW.ingest_xid := NULL"),
        UNNUMBERED,
        [("changes", WARNING, "does not keep its ingest_xid, by which a refresh finds it: zz fires")],
    ),
    "trigger that empties ingest_xid before ours": (
        NUMBERING.format("aa", "NEW.ingest_xid := NULL"),
        UNNUMBERED,
        [],
    ),
    "trigger after ours": (NUMBERING.format("zz", "NEW.scene := 'a scene'"), UNNUMBERED, []),
    "trigger after ours that refuses": (
        NUMBERING.format("zz", "RAISE EXCEPTION 'read only'"),
        UNNUMBERED,
        [("changes", WARNING, "zz may change the ingest_xid of new rows of prompt_usage, and an insert")],
    ),
    "lag": (
        "UPDATE stats_refresh SET as_of = as_of - interval '1 hour'",
        "UPDATE stats_refresh SET as_of = as_of + interval '1 hour'",
        [("lag", WARNING, "the stats are 1:")],
    ),
    "time zone": (
        "ALTER TABLE prompt_usage ALTER created_at TYPE timestamp;"
        + OF_DATABASE.format("SET timezone = ''Asia/Tokyo''"),
        "ALTER TABLE prompt_usage ALTER created_at TYPE timestamptz;" + OF_DATABASE.format("RESET timezone"),
        [("time zone", WARNING, "other sessions are in Asia/Tokyo")],
    ),
    "clock": (
        "CREATE SCHEMA skewed;"
        "CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        " AS $$ SELECT pg_catalog.clock_timestamp() - interval '1 minute' $$;"
        + OF_DATABASE.format("SET search_path = skewed, pg_catalog, public"),
        OF_DATABASE.format("RESET search_path") + "; DROP SCHEMA skewed CASCADE",
        [("clock", WARNING, "the server's clock is 60 s behind this machine's")],
    ),
    "search path": (
        "CREATE SCHEMA elsewhere;" + OF_DATABASE.format("SET search_path = elsewhere"),
        OF_DATABASE.format("RESET search_path") + "; DROP SCHEMA elsewhere",
        [
            ("search path", WRONG, "the tables are in the schema public, which is not in the search path"),
            *((step.name, UNCHECKED, "search path") for step in STEPS[-11:]),
        ],
    ),
    "standby": (
        OF_DATABASE.format("SET default_transaction_read_only = on"),
        OF_DATABASE.format("RESET default_transaction_read_only"),
        [
            ("connection", WRONG, "accepts no changes"),
            *((step.name, UNCHECKED, "connection has to be fixed first") for step in STEPS[5:]),
        ],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_database_has_its_lines(installation: Installation, name: str) -> None:
    plant, undo, expected = FAULTS[name]
    with installation.fault(plant, undo):
        found = faults()
    assert [(each.name, each.status) for each in found] == [(name, status) for name, status, _ in expected]
    for each, (_, _, text) in zip(found, expected, strict=True):
        assert text in each.summary


def test_before_the_first_refresh_and_before_migrate(
    installation: Installation, new_database: NewDatabase, migrated_template: str
) -> None:
    with new_database(migrated_template) as new, installation.given(DATABASE_URL=new.conninfo):
        [lag] = look(looks.lag)
        assert (lag.status, lag.summary) == (WARNING, "nothing has been published yet")
        with psycopg.connect(new.conninfo) as app:
            app.execute("DROP TABLE prompt_stats_schema_version, posts")
            app.execute("CREATE TABLE posts (id uuid, created_at timestamp) PARTITION BY LIST (id)")
        [found] = look(looks.tables)
        assert (found.status, "posts is partitioned" in found.summary) == (WRONG, True)
    plant, undo, _ = FAULTS["search path"]
    with installation.fault(plant, undo):
        [elsewhere] = look(server.search_path)
    assert str(elsewhere.remedy).startswith('Set PROMPT_STATS_TABLES="schema=public"')


def test_what_it_says_of_a_missing_index_makes_it(installation: Installation) -> None:
    installation.execute("DROP INDEX prompt_usage_ingest_brin")
    found = only_fault()
    assert (found.name, found.status) == ("indexes", WRONG)
    assert "migrate creates the index prompt_usage_ingest_brin" in found.summary
    schema.migrate(installation.database)
    installation.execute("DROP INDEX user_prompt_stats_prompt_id_idx")
    found = only_fault()
    assert (found.name, found.status) == ("indexes", WARNING)
    for statement in str(found.remedy).partition(": ")[2].split(";"):
        installation.execute(statement)
    assert faults() == []


def test_transactions_that_stay_open_are_named(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "WRITES_LONG", dt.timedelta(0))
    with psycopg.connect(installation.database.conninfo, application_name="a slow app") as slow:
        slow.execute("INSERT INTO prompt_usage (prompt_id) VALUES (gen_random_uuid())")
        found = [each for each in faults() if "a slow app" in each.summary]
        slow.rollback()
        pid = slow.info.backend_pid
    assert [each.remedy for each in found] == [
        f"Ask its owner to end it; if nobody does: SELECT pg_terminate_backend({pid})"
    ]
    # The tests' server has none that are prepared.
    row = {"pid": None, "open_for": dt.timedelta(days=2), "role": "app", "database": "shop"}
    prepared = server.judge_open({**row, "application_name": "order 7"})
    assert prepared.summary.startswith("'order 7' of app is prepared for 2 days")
    assert str(prepared.remedy).endswith("in the database shop: ROLLBACK PREPARED 'order 7'")


def test_a_table_that_somebody_holds_is_waited_for_once(installation: Installation) -> None:
    limit = OF_DATABASE.format("SET lock_timeout = ''50ms''"), OF_DATABASE.format("RESET lock_timeout")
    with installation.fault(*limit), psycopg.connect(installation.database.conninfo) as holder:
        holder.execute("LOCK TABLE stats_refresh, prompt_usage IN ACCESS EXCLUSIVE MODE")
        pid = holder.info.backend_pid
        first, *others = faults()
        holder.rollback()
    assert (first.status, f"by pid {pid}" in first.summary) == (WRONG, True)
    assert others
    assert {(each.status, each.summary) for each in others} == {
        (UNCHECKED, f"{first.name} has to be fixed first")
    }


def test_variables_that_nobody_reads_are_named(installation: Installation) -> None:
    names = {"PROMPT_STATS_RETAIN_DAY": "7", "PROMPT_STATS_DATABASE_URL": SECRET, "PROMPT_STATS_X_Y_Z": "1"}
    with installation.given(**names):
        found = faults()
    assert {each.status for each in found} == {WARNING}
    assert {each.name: each.remedy for each in found} == {
        "PROMPT_STATS_RETAIN_DAY": "If PROMPT_STATS_RETAIN_DAYS is meant, set that; else unset it",
        "PROMPT_STATS_DATABASE_URL": "If DATABASE_URL is meant, set that; else unset it",
        "PROMPT_STATS_X_Y_Z": "Unset it; docs/configuration.md lists all",
    }


def test_without_its_environment_nothing_can_be_looked_at(installation: Installation) -> None:
    with installation.given(PROMPT_STATS_RETAIN_DAYS="-1", PROMPT_STATS_LOG_FORMAT="xml"):
        found = faults()
    wrong = [each.name for each in found if each.status is WRONG]
    assert wrong == ["PROMPT_STATS_LOG_FORMAT", "PROMPT_STATS_RETAIN_DAYS"]
    unchecked = [each for each in found if each.status is UNCHECKED]
    assert [each.name for each in unchecked] == [*(step.name for step in STEPS[1:]), "Dagster"]
    assert {each.summary for each in unchecked} == {"environment has to be fixed first"}


def test_a_home_that_can_not_be_written(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    lake = settings().lake
    with installation.given(PROMPT_STATS_HOME=str(file / "home"), PROMPT_STATS_LAKE_URI=lake):
        home, dagster_home, never_ran = faults()
    assert (home.name, home.status) == ("home", WRONG)
    assert (dagster_home.name, dagster_home.status) == ("Dagster home", WRONG)
    assert "can't be written: not a directory" in home.summary
    assert (never_ran.name, never_ran.status) == ("Dagster", WARNING)

    monkeypatch.setattr(folders, "LOW_FREE_BYTES", 2**80)
    assert folder("home", tmp_path).status is WARNING
    monkeypatch.setattr(folders, "MIN_FREE_BYTES", 2**80)
    full = folder("home", tmp_path / "to be made")
    assert (full.status, full.remedy) == (WRONG, "Make room, then prompt-stats keep-up")


def test_a_lake_that_is_elsewhere(installation: Installation, tmp_path: Path) -> None:
    with installation.given(PROMPT_STATS_LAKE_URI=str(tmp_path / "lake")):
        found = only_fault()
    assert (found.name, found.status) == ("events", WRONG)
    assert found.summary == f"2 events are published, but {tmp_path / 'lake'} has none"
    assert list(tmp_path.iterdir()) == []


def test_a_lake_in_a_bucket(installation: Installation) -> None:
    with buckets() as store, installation.given(**store.variables, PROMPT_STATS_LAKE_URI="s3://lakes/a"):
        assert only_fault().name == "events"
        for bucket, said in {
            "no-put": "no table can be made",
            "no-get": "no table can be made",
            "no-delete": "nothing can be deleted",
            "no-condition": "the object store ignores If-None-Match",
        }.items():
            installation.set(PROMPT_STATS_LAKE_URI=f"s3://{bucket}/lake")
            found, *others = faults()
            assert (found.name, found.status) == ("lake", WRONG)
            assert [each.status for each in others] == [UNCHECKED, UNCHECKED]
            assert f"s3://{bucket}/lake: {said}" in found.summary
        left = {name.partition("/.probe-")[0] for name in store.objects()}
        assert left == {"no-delete/lake"}


def test_dagsters_home(installation: Installation, tmp_path: Path) -> None:
    configuration = installation.home / "dagster" / "dagster.yaml"
    with installation.given(DAGSTER_HOME=str(tmp_path)):
        assert f"DAGSTER_HOME is {tmp_path}" in list(examine_home(Setup()))[1].summary

    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(
            InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="pipeline.definitions")), "r"
        ),
        SCHEDULE,
    )
    off = InstigatorState(
        origin, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED, ScheduleInstigatorData("* * * * *")
    )
    with installation.dagster() as opened:
        opened.add_daemon_heartbeat(DaemonHeartbeat(time() - 7200, "SCHEDULER", "a daemon"))
        opened.add_instigator_state(off)
    _, _, silent, switched_off = examine_home(Setup())
    assert (silent.name, silent.status) == ("Dagster daemon", WARNING)
    assert "last heartbeat was 2:00:0" in silent.summary
    assert switched_off.summary == "refresh_stats_schedule is switched off"
    with installation.dagster() as opened:
        opened.add_daemon_heartbeat(DaemonHeartbeat(time(), "SCHEDULER", "a daemon"))
        opened.delete_instigator_state(off.instigator_origin_id, off.selector_id)

    before = configuration.read_text()
    configuration.write_text(f"storage: {{postgres: {{postgres_url: {{env: {uuid.uuid4().hex}}}}}}}")
    try:
        _, unopened = examine_home(Setup())
    finally:
        configuration.write_text(before)
    assert (unopened.name, unopened.status) == ("Dagster", WRONG)
    assert "its storage can't be opened" in unopened.summary


def test_the_command(installation: Installation) -> None:
    given = {
        "DATABASE_URL": f"postgresql://app:{SECRET}@127.0.0.1:1/app",
        "PROMPT_STATS_API_TOKEN": f"read:{SECRET}",
        "PROMPT_STATS_ALERT_WEBHOOK_URL": f"https://hooks.example/{SECRET}",
        "PROMPT_STATS_API_TOKENS": SECRET,
    }
    done = prompt_stats(installation.home, "doctor", **given)
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "something is wrong with connection. Each line says what to do." in " ".join(done.stderr.split())
    lines = [line.split("  ", 1) for line in done.stdout.splitlines()]
    said = {line[0] for line in lines}
    assert said == {"ok", "warning", "wrong", "not checked", ""}

    done_here = invoke("doctor", "--json")
    assert done_here.exit_code == 0, done_here.output
    answers = json.loads(done_here.stdout)
    assert {answer["status"] for answer in answers} == {"ok"}
    assert answers[0].keys() == {"name", "status", "summary", "remedy"}
