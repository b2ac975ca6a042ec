"""The checks: all pass on healthy stats, and each finds the fault that it is there for."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline.database.connections import Database
from pipeline.definitions import build_definitions
from pipeline.health.checks import clocks
from pipeline.health.checks.catalog import CHECKS, make
from pipeline.health.checks.report import Cadence, Report, Severity
from pipeline.installation import Installation
from pipeline.maintenance.retention import retain
from pipeline.orchestration import checks, jobs
from pipeline.orchestration.lake_assets import EVERY_DAY_PROCESSED
from pipeline.orchestration.resources import Stores
from pipeline.refresh import refresh
from pipeline.settings import Settings
from tests.app import at
from tests.command import prompt_stats
from tests.conftest import FIRST_DAY, NewDatabase
from tests.lake import open_to_write
from tests.published import be_no_copy
from tests.roles import as_role
from tests.triggers import without_triggers

PROMPT, DELETED = uuid.UUID(int=1), uuid.UUID(int=404)
DAYS, A_DAY = (0, 1, 2, 3, 8, 15, 20, 22, 29, 30, 36, 50, 57), 30
"""Days ago, the same weekday as yesterday among them, and how many events each has."""
RETAINED = 40

HISTORY = f"""
    INSERT INTO prompts (id, name, template)
    SELECT lpad(n::text, 32, '0')::uuid, 'n', 't' FROM generate_series(1, 3) AS n;

    INSERT INTO prompt_usage (prompt_id, user_id, post_id, scene, success, generation_time_ms, created_at)
    SELECT lpad((n % 3 + 1)::text, 32, '0')::uuid, lpad((n % 7)::text, 32, '0')::uuid,
           lpad((day * 100 + n)::text, 32, '0')::uuid,
           (ARRAY['cafe', '', NULL])[n % 3 + 1], n % 10 <> 0, 1000 + n * day, now() - day * interval '1 day'
    FROM unnest(ARRAY[{", ".join(map(str, DAYS))}]) AS day, generate_series(1, {A_DAY}) AS n;

    INSERT INTO prompt_usage (prompt_id, created_at)
    VALUES ('{DELETED}', now() - interval '20 days'), ('{PROMPT}', NULL);

    INSERT INTO posts (id, prompt_id, created_at)
    SELECT post_id, prompt_id, created_at FROM prompt_usage WHERE post_id IS NOT NULL LIMIT 5;
"""

FAULTS = {
    "stats_are_fresh": ["UPDATE stats_refresh SET as_of = as_of - interval '1 hour'"],
    "stats_add_up": [
        f"""
        UPDATE prompt_daily_stats SET usage_count = usage_count + 1
        WHERE day = current_date - 1 AND prompt_id = '{PROMPT}'""",
        "UPDATE prompt_scene_stats SET success_count = success_count - 1 WHERE scene = ''",
        "DELETE FROM scene_stats WHERE scene = ''",
        "UPDATE outfit_stats SET failure_count = failure_count + 1",
        f"DELETE FROM prompt_stats WHERE prompt_id = '{DELETED}'",
    ],
    "lake_equals_postgres": [
        without_triggers("DELETE FROM prompt_usage WHERE post_id = lpad('201', 32, '0')::uuid"),
        without_triggers(
            f"""
            INSERT INTO prompt_usage (prompt_id, created_at, ingest_xid)
            SELECT '{PROMPT}', current_date - 1, high - 1 FROM stats_refresh ORDER BY id LIMIT 1"""
        ),
    ],
    "lake_is_whole": [
        f"UPDATE stats_expired_day SET usage_count = usage_count + 1 WHERE day = current_date - {DAYS[-1]}"
    ],
    "lake_can_be_read": [
        f"UPDATE stats_expired_day SET usage_count = usage_count + 1 WHERE day = current_date - {DAYS[-1]}"
    ],
    "source_fits": [
        "ALTER TABLE prompt_usage DROP COLUMN outfit",
        "ALTER TABLE prompt_usage ALTER COLUMN success TYPE text",
        "ALTER TABLE prompt_usage ALTER COLUMN ingest_xid DROP DEFAULT",
        "ALTER TABLE prompt_usage DISABLE TRIGGER prompt_usage_note_delete",
        "DROP TABLE prompt_favorites",
    ],
    "prompts_exist": [f"DELETE FROM prompts WHERE id = '{PROMPT}'"],
    "no_events_rejected": ["INSERT INTO prompt_usage_rejected (reason, payload) VALUES ('no prompt', '{}')"],
    "no_events_held_back": [
        f"""
        INSERT INTO prompt_usage (prompt_id, created_at)
        VALUES ('{PROMPT}', now() + interval '5 days'), ('{PROMPT}', '9999-12-31')"""
    ],
    "clocks_agree": [
        # A producer's, of an event that waits for the next sync; then of all that came before the last one.
        f"INSERT INTO prompt_usage (prompt_id, created_at) VALUES ('{PROMPT}', now() + interval '9 minutes')",
        "UPDATE stats_sync SET started_at = started_at - interval '9 minutes'",
        # The database's.
        """
        CREATE SCHEMA skewed;
        CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT pg_catalog.clock_timestamp() - interval '1 minute' $$;
        DO $$ BEGIN
            EXECUTE format(
                'ALTER DATABASE %I SET search_path = skewed, pg_catalog, public', current_database()
            );
        END $$""",
    ],
    "prompts_equal_recount": [
        "UPDATE prompt_daily_stats SET success_count = success_count + 1 WHERE day = current_date - 1",
        # A day that the lake alone has.
        f"UPDATE prompt_daily_stats SET failure_count = 0 WHERE day = current_date - {DAYS[-2]}",
        "UPDATE prompt_stats SET avg_generation_time_ms = avg_generation_time_ms + 1e-9",
        without_triggers(
            "UPDATE prompt_usage SET success = NOT success WHERE post_id = lpad('3001', 32, '0')::uuid"
        ),
        "DELETE FROM prompt_daily_stats WHERE day = current_date - 3",
    ],
    "posts_have_events": [
        f"INSERT INTO posts (prompt_id, created_at) VALUES ('{PROMPT}', now() - interval '3 hours')"
    ],
    "usage_is_usual": [
        "UPDATE stats_day SET usage_count = 3 WHERE day = current_date - 1",
        "UPDATE stats_day SET usage_count = 60 WHERE day = current_date - 1",
        "DELETE FROM stats_day WHERE day = current_date - 1",
    ],
}
"""What is planted, one after the other, for each check to find."""


class Healthy(NamedTuple):
    """A database to be copied, and its lake."""

    template: str
    lake: str


@pytest.fixture(scope="module")
def healthy(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Healthy]:
    """Days of two months, published; of the first weeks the lake alone has the events."""
    lake = str(tmp_path_factory.mktemp("lake"))
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute(HISTORY.encode())
        retain(at(database, lake), RETAINED)
        refresh(at(database, lake), values=True)
        database.close()
        yield Healthy(str(conninfo_to_dict(database.conninfo)["dbname"]), lake)


@pytest.fixture
def installation(healthy: Healthy, new_database: NewDatabase) -> Iterator[Installation]:
    """The healthy database in a copy, with the one lake: no test may write to it."""
    with new_database(healthy.template) as database:
        be_no_copy(database)
        yield at(database, healthy.lake)


def plant(installation: Installation, statements: str) -> None:
    with psycopg.connect(installation.database.conninfo) as connection:
        connection.execute(statements.encode())
    # A search path counts from the next connection on.
    installation.database.close()


def made(installation: Installation, name: str) -> Report:
    [check] = [check for check in CHECKS if check.name == name]
    return make(check, installation)


def failing(installation: Installation) -> dict[str, str]:
    reports = {check.name: make(check, installation) for check in CHECKS}
    return {name: report.summary for name, report in reports.items() if not report.passed}


def stores_of(installation: Installation) -> Stores:
    values = {"PROMPT_STATS_LAKE_URI": installation.lake, "PROMPT_STATS_START_DATE": FIRST_DAY}
    return Stores(Settings.model_validate(values), installation.database)


def test_all_pass_on_healthy_stats_with_what_the_pipelines_role_may_do(installation: Installation) -> None:
    with as_role(installation.database, "pipeline") as seen:
        assert failing(replace(installation, database=seen)) == {}
        report = made(replace(installation, database=seen), "prompts_equal_recount")
        assert report.figures["events"] == len(DAYS) * A_DAY + 2
        assert report.figures["days_left_out"] == 0


def test_each_check_has_faults_that_it_finds() -> None:
    # What is no time is in a column of another type: test_values.py.
    assert FAULTS.keys() | {"values_are_usable"} == {check.name for check in CHECKS}


@pytest.mark.parametrize("name", FAULTS)
def test_a_check_finds_each_fault(installation: Installation, name: str) -> None:
    found = [made(installation, name)]
    assert found[0].passed
    for fault in FAULTS[name]:
        plant(installation, fault)
        report = made(installation, name)
        assert not report.passed
        assert "can't be made" not in report.summary
        assert report not in found, fault
        found.append(report)


def test_each_kind_of_stats_has_its_age(installation: Installation) -> None:
    plant(
        installation,
        """
        UPDATE stats_refresh SET user_stats_as_of = now() - interval '2 hours', value_stats_as_of = NULL,
            published_at = now() - interval '35 hours'""",
    )
    assert made(installation, "stats_are_fresh").passed
    plant(
        installation,
        """
        UPDATE stats_refresh SET user_stats_as_of = user_stats_as_of - interval '2 hours',
            published_at = published_at - interval '2 hours'""",
    )
    late = made(installation, "stats_are_fresh")
    assert [row["name"] for row in late.worst] == ["stats by value", "stats of users"]


def test_what_the_lake_lost_is_found(installation: Installation, tmp_path: Path) -> None:
    lake = str(shutil.copytree(installation.lake, tmp_path / "lake"))
    table = open_to_write(installation.database, lake)
    today = dt.datetime.now(dt.UTC).date()
    days = [today - number * dt.timedelta(days=1) for number in (DAYS[-1], 20, 2)]
    table.replace(days, table.schema.empty_table())
    report = made(replace(installation, lake=lake), "lake_equals_postgres")
    assert not report.passed
    assert [(row["day"], row["the lake"].split()[0]) for row in report.worst] == [
        *zip(days, ("lost", "lacks", "lacks"), strict=True)
    ]
    # What the lake does not hold as published can't be compared with it.
    recount = made(replace(installation, lake=lake), "prompts_equal_recount")
    assert (recount.passed, recount.figures["days_left_out"]) == (True, 1)


def test_what_is_legitimate_is_no_fault(installation: Installation) -> None:
    plant(
        installation,
        f"""
        ALTER TABLE posts ADD COLUMN likes integer;
        ALTER TABLE prompt_usage ALTER COLUMN scene TYPE varchar(80);
        UPDATE prompt_usage SET success = NOT success WHERE post_id = lpad('201', 32, '0')::uuid;
        UPDATE prompts SET usage_count = usage_count + 1 WHERE id = '{PROMPT}';
        INSERT INTO prompt_usage (prompt_id, created_at)
        VALUES ('{PROMPT}', now()), ('{PROMPT}', current_date - 50)
        """,
    )
    assert failing(installation) == {}
    assert made(installation, "source_fits").figures["own_columns"] == 1
    sums = made(installation, "stats_add_up")
    assert (sums.figures["counters_that_differ"], sums.figures["prompts_that_differ"]) == (1, 0)
    assert "prompts differs on 1 prompt: the app counts for itself as well" in sums.summary
    # The change is noted, and waits for the next refresh.
    assert made(installation, "prompts_equal_recount").figures["days_left_out"] == 1


def test_a_transaction_that_holds_the_watermark_is_named(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "WRITES_LONG", dt.timedelta(0))
    with psycopg.connect(installation.database.conninfo, application_name="a slow app") as slow:
        slow.execute("INSERT INTO prompt_usage (prompt_id) VALUES (gen_random_uuid())")
        report = made(installation, "stats_are_fresh")
    assert any("a slow app" in row["name"] for row in report.worst)


def test_before_the_first_publish_the_stats_are_not_fresh(database: Database, lake: str) -> None:
    found = failing(at(database, lake))
    assert found == {
        "stats_are_fresh": "Nothing has been published yet; run: prompt-stats refresh",
        "posts_have_events": "The check can't be made: Looking for posts without an event:"
        " nothing has been published yet. Run prompt-stats refresh",
    }


def test_dagster_makes_them_with_their_severity_and_what_to_do(installation: Installation) -> None:
    plant(installation, f"{FAULTS['stats_add_up'][0]}; {FAULTS['no_events_rejected'][0]}")
    definitions = build_definitions(stores_of(installation))
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(checks.JOB).execute_in_process(instance=instance)
    found = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert found.keys() == {check.name for check in CHECKS if check.cadence is Cadence.HOURLY}
    failed = {name: each.severity.value for name, each in found.items() if not each.passed}
    assert failed == {"stats_add_up": "ERROR", "no_events_rejected": "WARN"}
    worst = found["stats_add_up"].metadata["worst"].value
    assert str(worst).startswith("| table | prompt | usage_count | success_count | failure_count |\n| --- |")
    assert "prompt-stats rejected list" in (found["no_events_rejected"].description or "")


def test_each_job_makes_its_checks_and_the_refresh_none() -> None:
    definitions = build_definitions(Stores(Settings()))
    names = {
        job: {key.name for key in definitions.resolve_job_def(job).asset_layer.asset_graph.asset_check_keys}
        for job in (checks.JOB, checks.NIGHTLY_JOB, jobs.JOB)
    }
    assert names.pop(jobs.JOB) == {EVERY_DAY_PROCESSED}
    assert names == {
        job: {check.name for check in CHECKS if check.cadence is cadence}
        for job, cadence in ((checks.JOB, Cadence.HOURLY), (checks.NIGHTLY_JOB, Cadence.NIGHTLY))
    }


def test_assets_are_as_fresh_as_their_schedules_promise() -> None:
    graph = build_definitions(Stores(Settings())).resolve_asset_graph()
    policies = {key.to_user_string(): graph.get(key).freshness_policy for key in graph.get_all_asset_keys()}
    assert policies["prompts"] == policies["prompt_daily_stats"] == checks.EVERY_TICK
    assert policies["user_prompt_stats"] == checks.EVERY_HOUR
    assert policies["prompt_value_stats"] == checks.EVERY_NIGHT
    assert checks.POLICIES.keys() <= graph.get_all_asset_keys()


def test_the_command(installation: Installation, tmp_path: Path) -> None:
    given = {"DATABASE_URL": installation.database.conninfo, "PROMPT_STATS_LAKE_URI": installation.lake}
    plant(installation, FAULTS["no_events_held_back"][0])
    warned = prompt_stats(tmp_path, "check", "--json", **given)
    assert warned.returncode == 0, warned.stderr
    answers = {answer["name"]: answer for answer in json.loads(warned.stdout)}
    assert answers.keys() == {check.name for check in CHECKS}
    failed = {name: answer["severity"] for name, answer in answers.items() if not answer["passed"]}
    assert failed == {"no_events_held_back": Severity.WARN, "clocks_agree": Severity.WARN}
    assert answers["no_events_held_back"]["figures"]["events"] == 2
    plant(installation, FAULTS["stats_add_up"][0])
    said = prompt_stats(tmp_path, "check", **given)
    assert said.returncode == 1
    assert "stats_add_up, prompts_equal_recount" in said.stderr
    assert "prompt-stats reconcile" in said.stdout


def test_a_right_that_is_missing_is_said_and_spoils_one_check(
    installation: Installation, tmp_path: Path
) -> None:
    with as_role(installation.database, "pipeline") as seen:
        role = conninfo_to_dict(seen.conninfo)["user"]
        plant(installation, f'REVOKE ALL ON posts FROM "{role}"')
        failed = failing(replace(installation, database=seen))
        given = {"DATABASE_URL": seen.conninfo, "PROMPT_STATS_LAKE_URI": installation.lake}
        looked = prompt_stats(tmp_path, "track-missing", "--dry-run", **given)
    text = (
        "Looking for posts without an event: permission denied for table posts."
        " Connect as a role that has the right; docs/roles.md says what each role needs"
    )
    assert failed == {"posts_have_events": f"The check can't be made: {text}"}
    assert (looked.returncode, looked.stderr) == (1, f"{text}.\n")
