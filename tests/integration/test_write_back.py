"""The counters in ``prompts``: looked at first, taken over with a report, refused where they do not fit."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline.adoption.schema import migrate
from pipeline.answers import reading
from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.definitions import build_definitions
from pipeline.errors import DatabaseError, DatabaseUnavailableError
from pipeline.health.checks.sums import stats_add_up
from pipeline.names import TableNames
from pipeline.orchestration.instance import run_refresh
from pipeline.orchestration.jobs import stale_ranges
from pipeline.orchestration.resources import Stores
from pipeline.publish import copy, write_back
from pipeline.publish.publish import publish
from pipeline.refresh import plan_refresh, refresh
from pipeline.settings import Settings
from tests.api import served
from tests.app import at
from tests.command import answer, prompt_stats
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount

A, B, C = (uuid.UUID(int=number) for number in (1, 2, 3))

# Not quite true, and of types that an app may have chosen.
APP = f"""
    ALTER TABLE prompts ALTER COLUMN failure_count TYPE numeric(8, 2), ALTER COLUMN success_rate TYPE numeric,
        ALTER COLUMN favorite_count TYPE smallint, ALTER COLUMN last_used_at TYPE timestamp;
    ALTER TABLE prompt_usage ALTER COLUMN created_at TYPE timestamptz;
    INSERT INTO users (id, email) VALUES ('{A}', '');
    INSERT INTO prompts (id, slug, name, template, usage_count, success_count, failure_count, favorite_count)
    VALUES ('{A}', 'a', 'A', '', 5, 5, NULL, 1), ('{B}', 'b', 'B', '', 2, 9, 0, 0),
        ('{C}', NULL, 'C', '', NULL, NULL, NULL, NULL);
    INSERT INTO prompt_favorites (prompt_id, user_id) VALUES ('{A}', '{A}'), ('{A}', '{A}');
    INSERT INTO prompt_usage (prompt_id, success, generation_time_ms, created_at)
    SELECT '{A}'::uuid, n < 5, 1000 * n, now() - interval '5 days' FROM generate_series(1, 6) AS n
    UNION ALL SELECT '{B}'::uuid, true, NULL, now() FROM generate_series(1, 3);
"""
NAMES = "prompts=templates prompts.usage_count=useCount"
DRIFT = {
    "prompt_count": 3,
    "differing_count": 2,
    "counters": {
        "usage_count": {"had": 7, "counted": 9, "differing_count": 2},
        "success_count": {"had": 14, "counted": 7, "differing_count": 2},
        "favorite_count": {"had": 1, "counted": 1, "differing_count": 0},
    },
    "prompts": [
        {
            "prompt_id": str(B),
            "name": "b",
            "had": {"usage_count": 2, "success_count": 9, "favorite_count": 0},
            "counted": {"usage_count": 3, "success_count": 3, "favorite_count": 0},
        },
        {
            "prompt_id": str(A),
            "name": "a",
            "had": {"usage_count": 5, "success_count": 5, "favorite_count": 1},
            "counted": {"usage_count": 6, "success_count": 4, "favorite_count": 1},
        },
    ],
}


@pytest.fixture
def database(new_database: NewDatabase, adopted_template: str) -> Iterator[Database]:
    """An app's database, adopted."""
    with new_database(adopted_template) as database:
        yield database


@pytest.fixture
def app(database: Database) -> Any:
    """The app; each statement is a transaction."""
    with psycopg.connect(database.conninfo, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(APP.encode())
        yield connection


@pytest.fixture
def comparing(database: Database) -> Any:
    """The same database, of which ``prompts`` is left alone."""
    database = replace(database, write_back=False)
    yield database
    database.close()


def prompts(app: psycopg.Connection[Any]) -> list[Any]:
    """The rows of prompts, and where and by whom they were written."""
    return app.execute("SELECT ctid, xmin, prompts.* FROM prompts ORDER BY id").fetchall()


def everything(app: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """All rows of all tables, but for what a sync writes that precedes a refused publish."""
    return {
        name: app.execute(f"SELECT * FROM {name} AS t ORDER BY t::text".encode()).fetchall()
        for name in tables.metadata.tables
        if name not in (tables.stats_sync.name, tables.stats_lake_token.name)
    }


def test_a_team_looks_first_and_takes_over_then(
    database: Database, comparing: Database, app: psycopg.Connection[Any], lake: str
) -> None:
    before = prompts(app)
    app.execute(f"ALTER DATABASE {app.info.dbname} SET lock_timeout = '3s'".encode())
    with psycopg.connect(database.conninfo) as busy:
        # Who would write a row of prompts, or lock one, had to wait for this and would give up.
        busy.execute("LOCK TABLE prompts IN SHARE MODE")
        assert "prompts" not in refresh(at(comparing, lake)).rows_written
    assert prompts(app) == before
    assert_equals_recount(comparing, FIRST_DAY)
    looked = reading.drift(comparing)
    assert looked["counter_drift"] == DRIFT
    status = reading.status(at(comparing, lake))
    assert (status["write_back"], status["write_back_as_of"]) == ("off", None)

    assert refresh(at(database, lake)).rows_written["prompts"] == 3
    assert_equals_recount(database, FIRST_DAY)
    taken = reading.drift(database)
    assert taken["counter_drift"] == DRIFT
    assert refresh(at(database, lake)).rows_written["prompts"] == 0
    assert reading.drift(database) == taken
    status = reading.status(at(database, lake))
    assert (status["write_back"], status["write_back_as_of"]) == ("on", status["as_of"])


@pytest.mark.usefixtures("app")
def test_a_row_that_the_app_holds_is_written_by_the_next_refresh(database: Database, lake: str) -> None:
    """Who waited for it would keep the app from the others, or be deadlocked with it."""
    with psycopg.connect(database.conninfo) as busy:
        busy.execute("UPDATE prompts SET name = 'other' WHERE id = %s", [A])
        report = refresh(at(database, lake))
        assert (report.rows_written["prompts"], report.write_back_as_of) == (2, None)
        # The app goes on with another row, which a refresh holds no longer.
        busy.execute("UPDATE prompts SET name = 'other' WHERE id = %s", [B])
    report = refresh(at(database, lake))
    assert (report.rows_written["prompts"], report.write_back_as_of) == (1, report.as_of)
    assert_equals_recount(database, FIRST_DAY)


@pytest.mark.usefixtures("app")
def test_a_table_that_the_app_holds_is_written_by_the_next_refresh(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_back, "LONGEST_WAIT", "10ms")
    with psycopg.connect(database.conninfo) as busy:
        busy.execute("LOCK TABLE prompts IN SHARE MODE")
        report = refresh(at(database, lake))
        assert (report.usage_count, report.rows_written["prompts"], report.write_back_as_of) == (9, 0, None)
    assert refresh(at(database, lake)).rows_written["prompts"] == 3
    assert_equals_recount(database, FIRST_DAY)


def test_a_trigger_that_keeps_counters_as_they_are_is_said(
    database: Database, app: psycopg.Connection[Any], lake: str, caplog: pytest.LogCaptureFixture
) -> None:
    app.execute(
        """
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER keep BEFORE UPDATE ON prompts FOR EACH ROW EXECUTE FUNCTION keep()"""
    )
    report = refresh(at(database, lake))
    assert (report.usage_count, report.rows_written["prompts"], report.write_back_as_of) == (9, 0, None)
    assert "3 of 3 prompts keep their present counters" in caplog.text
    assert not stats_add_up(at(database, lake)).passed


@pytest.mark.parametrize("counter", ["usage_count", "success_rate", "last_used_at"])
def test_a_trigger_that_puts_one_counter_back_is_said(
    database: Database,
    app: psycopg.Connection[Any],
    lake: str,
    caplog: pytest.LogCaptureFixture,
    counter: str,
) -> None:
    app.execute(
        f"""
        CREATE FUNCTION put_back() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.{counter} := OLD.{counter}; RETURN NEW; END';
        CREATE TRIGGER put_back BEFORE UPDATE ON prompts FOR EACH ROW WHEN (OLD.id = '{A}')
        EXECUTE FUNCTION put_back()"""
    )
    for _ in range(2):
        report = refresh(at(database, lake))
        assert (report.usage_count, report.write_back_as_of) == (9, None)
    assert "1 of 3 prompts have other counters than were written" in caplog.text
    assert "1 of 1 prompts have other counters than were written" in caplog.text
    assert "keep their present counters" not in caplog.text
    sums = stats_add_up(at(database, lake))
    is_count = counter in ("usage_count", "success_count", "failure_count")
    assert (sums.passed, sums.figures["counters_that_differ"]) == (False, int(is_count))
    assert "the last refresh could not write all counters into prompts" in sums.summary

    app.execute("DROP TRIGGER put_back ON prompts")
    assert refresh(at(database, lake)).rows_written["prompts"] == 1
    assert stats_add_up(at(database, lake)).passed


def test_a_stats_table_that_somebody_holds_is_waited_for_so_long(
    database: Database, app: psycopg.Connection[Any], lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "LONGEST_WAIT_SECONDS", 0.01)
    refresh(at(database, lake))
    before = everything(app)
    with psycopg.connect(database.conninfo) as busy:
        busy.execute("LOCK TABLE prompt_stats IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailableError, match="prompt_stats is held "):
            publish(at(database, lake))
    assert everything(app) == before


def test_what_was_written_stays_when_it_is_switched_off(
    database: Database, comparing: Database, app: psycopg.Connection[Any], lake: str
) -> None:
    on = refresh(at(database, lake))
    before = prompts(app)
    app.execute(
        f"INSERT INTO prompt_usage (prompt_id, success) SELECT '{B}', true FROM generate_series(1, 9)"
    )
    refresh(at(comparing, lake))
    assert prompts(app) == before
    sums = stats_add_up(at(comparing, lake))
    assert (sums.passed, sums.figures["counters_that_differ"]) == (True, 0)
    # The API may run elsewhere and not know of the variable.
    with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
        status = client.get("/status").json()
        assert (status["writeBack"], status["writeBackAsOf"][:19]) == ("off", on.as_of.isoformat()[:19])
        [first, *_] = client.get("/prompts/top/used").json()
        [listed, *_] = client.get("/prompts").json()["prompts"]
        found = client.get("/prompts/b").json()["prompt"]
    for prompt in (first, listed, found):
        assert [prompt[name] for name in ("slug", "usageCount", "successCount")] == ["b", 12, 12]
        assert prompt["statsAsOf"] > on.as_of.isoformat()[:19]
    assert reading.top_prompts(at(comparing, lake), 1)["prompts"][0]["usage_count"] == 12

    report = refresh(at(database, lake))
    assert report.counter_drift
    assert report.counter_drift["counters"]["usage_count"] == {"had": 9, "counted": 18, "differing_count": 1}
    assert_equals_recount(database, FIRST_DAY)
    assert stats_add_up(at(database, lake)).passed


def test_an_apps_counters_are_not_replaced_by_half_of_what_there_is(
    database: Database, app: psycopg.Connection[Any], lake: str
) -> None:
    today = plan_refresh(at(database, lake)).days[-1]
    before = prompts(app)
    assert refresh(at(database, lake), days=[today]).pending_days
    assert prompts(app) == before
    assert reading.status(at(database, lake))["write_back"] == "waiting"
    report = refresh(at(database, lake))
    assert report.counter_drift
    assert report.counter_drift["counters"] == DRIFT["counters"]
    assert_equals_recount(database, FIRST_DAY)


def test_where_nobody_kept_counters_there_is_no_report(database: Database, lake: str) -> None:
    with psycopg.connect(database.conninfo) as app:
        app.execute(f"INSERT INTO prompts (id, name, template) VALUES ('{A}', '', '')".encode())
        refresh(at(database, lake))
        app.execute(f"INSERT INTO prompt_usage (prompt_id) VALUES ('{A}')".encode())
    report = refresh(at(database, lake))
    assert (report.rows_written["prompts"], report.counter_drift) == (1, None)
    assert reading.drift(database)["counter_drift"] is None


def test_what_does_not_fit_is_refused_before_anything_is_written(
    new_database: NewDatabase, app_template: str, lake: str
) -> None:
    with new_database(app_template) as plain, ExitStack() as opened:
        with psycopg.connect(plain.conninfo) as owner:
            owner.execute("ALTER TABLE prompts RENAME TO templates")
            owner.execute("ALTER TABLE prompt_usage ALTER COLUMN created_at TYPE timestamptz")
            owner.execute('ALTER TABLE templates RENAME usage_count TO "useCount"')
        database = Database.from_url(plain.conninfo, names=TableNames.parse(NAMES))
        opened.callback(database.close)
        migrate(database)
        app = opened.enter_context(database.connect(autocommit=True))
        app.execute(
            f"INSERT INTO prompts (id, name, template) VALUES ('{A}', '', ''), ('{B}', '', '')".encode()
        )
        refresh(at(database, lake))
        app.execute(
            """
            DROP VIEW prompt_stats.prompts;
            CREATE DOMAIN small AS numeric(2);
            ALTER TABLE templates ALTER COLUMN "useCount" TYPE small,
                ALTER COLUMN success_rate TYPE numeric(5, 2), ALTER COLUMN favorite_count TYPE numeric(3, -1),
                ALTER COLUMN stats_as_of TYPE timestamptz(3);
            UPDATE templates SET last_used_at = now(), favorite_count = 3;
            ALTER TABLE templates ALTER COLUMN last_used_at SET NOT NULL"""
        )
        migrate(database)
        app.execute(f"INSERT INTO prompt_usage (prompt_id) SELECT '{B}' FROM generate_series(1, 100)")
        said = []
        # First the types, then what is to be written; and what it says to run is what helps.
        for _ in range(2):
            before = everything(app)
            with pytest.raises(DatabaseError, match="Nothing was published") as refused:
                refresh(at(database, lake))
            assert everything(app) == before
            said.append(str(refused.value))
            [statements] = re.findall(r"DROP VIEW .*?(?= at a quiet moment)", said[-1])
            app.execute(statements.encode())
            migrate(database)
        assert "into the table public.templates: success_rate is numeric(5,2), which rounds" in said[0]
        assert "favorite_count is numeric(3,-1), which rounds" in said[0]
        assert "stats_as_of is timestamp(3) with time zone, which rounds" in said[0]
        assert "useCount is numeric(2,0), which holds 99 at most, and 100 is to be written" in said[1]
        assert "last_used_at is NOT NULL, and 1 prompts have none" in said[1]
        assert publish(at(database, lake)).rows_written["prompts"] == 2
        assert_equals_recount(database, FIRST_DAY)
        assert publish(at(database, lake)).rows_written["prompts"] == 0


def test_dagster_and_the_command_line_say_it(
    database: Database, app: object, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert app
    home, key = tmp_path / "home", dg.AssetKey("prompts")
    values = {"PROMPT_STATS_HOME": home, "PROMPT_STATS_WRITE_BACK": "off", "DATABASE_URL": database.conninfo}
    off = Stores(Settings.model_validate(values))
    definitions = build_definitions(off)
    [days] = stale_ranges(plan_refresh(off.installation), off)
    run_refresh(definitions, instance, days, replace=False)
    off.database.close()
    asset = definitions.resolve_asset_graph().get(key)
    assert "Write-back is off" in (asset.description or "")
    assert asset.freshness_policy is None
    assert instance.get_latest_materialization_event(key) is None
    [observed] = instance.fetch_observations(key, limit=1).records
    assert observed.asset_observation
    assert observed.asset_observation.metadata["write_back"].value == "off"

    done = prompt_stats(home, "refresh", DATABASE_URL=database.conninfo)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert [line for line in lines if "→" in line][1:] == [
        "b 2 → 3 9 → 3 0",
        "a 5 → 6 5 → 4 1",
        "sum of 3 prompts 7 → 9 14 → 7 1",
    ]
    assert "write-back on" in lines
    assert "2 of 3 prompts differed before the write-back of 20" in " ".join(lines)
    assert answer(home, "drift", DATABASE_URL=database.conninfo)["counter_drift"] == DRIFT
    with dg.DagsterInstance.from_config(str(home / "dagster")) as own:
        event = own.get_latest_materialization_event(key)
    assert event
    assert event.asset_materialization
    metadata = event.asset_materialization.metadata
    assert metadata["prompts_that_differed"].value == 2
    assert "| sum of 3 prompts | 7 → 9 | 14 → 7 | 1 |" in str(metadata["counter_drift"].value)
