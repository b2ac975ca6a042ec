"""Whoever waits for a table that another session holds gives up, says who it is, and has changed nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipeline.adoption import schema
from pipeline.answers import export as exporting
from pipeline.answers import reading
from pipeline.answers.export import Format, open_export
from pipeline.database import tables
from pipeline.database.connections import Database, is_transient
from pipeline.errors import TableLockedError
from pipeline.health.checks.catalog import make_all
from pipeline.health.checks.sums import stats_add_up
from pipeline.maintenance.coverage import look_for_missing
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.rejected import discard
from pipeline.maintenance.retention import retain
from pipeline.publish import copy
from pipeline.publish.values import publish_values
from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount

APPEND = """
INSERT INTO prompt_usage (prompt_id, user_id, scene, success)
VALUES ('00000000-0000-4000-8000-000000000007', gen_random_uuid(), 'studio', true)
"""
SOMEBODY = "the app's nightly job"
WAITING = """
SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'prompt_favorites'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
OF_WORK = {"stats_sync", "stats_lake_token"}
"""What a sync writes that precedes a refused publish."""

READ_AND_WRITTEN = (
    *("prompt_usage", "prompt_usage_invalidation", "prompts", "prompt_favorites"),
    *(
        "stats_source",
        "stats_lake_token",
        "stats_refresh",
        "stats_day",
        "prompt_scene_stats",
        "user_prompt_stats",
    ),
)
"""What a refresh waits for, in different places."""

Command = Callable[[Database, str], object]


def export(database: Database, _lake: str) -> None:
    with open_export(database, "prompt_stats", Format.CSV) as opened:
        list(opened.chunks)


def erase(database: Database, lake: str) -> None:
    erase_user(at(database, lake), "00000000-0000-4000-8000-000000000001")


def refreshed(database: Database, lake: str) -> None:
    refresh(at(database, lake))


WAITS: list[tuple[Command, str]] = [
    *((refreshed, table) for table in READ_AND_WRITTEN),
    (lambda database, lake: publish_values(at(database, lake)), "prompt_value_stats"),
    (lambda database, lake: reconcile(at(database, lake)), "prompt_usage"),
    (lambda database, lake: retain(at(database, lake), days=5), "stats_day"),
    (erase, "posts"),
    (lambda database, lake: reading.status(at(database, lake)), "stats_refresh"),
    (lambda database, lake: reading.top_prompts(at(database, lake), 3), "prompt_stats"),
    (lambda database, _: reading.alerts(database, 7), "stats_alerts"),
    (lambda database, lake: look_for_missing(at(database, lake)), "posts"),
    (lambda database, _: discard(database), "prompt_usage_rejected"),
    (export, "prompt_stats"),
    (lambda database, _: schema.migrate(database), schema.VERSION_TABLE),
]


@pytest.fixture(scope="module")
def published(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, str]]:
    """A database whose stats are published and one event later, in which nobody waits for long; its lake."""
    with new_database(migrated_template) as database:
        lake = str(tmp_path_factory.mktemp("lake"))
        with psycopg.connect(database.conninfo) as app:
            app.execute(APPEND)
            app.execute(f"ALTER DATABASE \"{app.info.dbname}\" SET lock_timeout = '50ms'".encode())
        database.close()
        refresh(at(database, lake), values=True)
        with psycopg.connect(database.conninfo) as app:
            app.execute(APPEND)
        yield database, lake


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish and an export have limits of their own."""
    monkeypatch.setattr(copy, "LONGEST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(exporting, "SETTINGS", exporting.SETTINGS[:1])


@pytest.fixture
def somebody(published: tuple[Database, str]) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(make_conninfo(published[0].conninfo, application_name=SOMEBODY)) as holder:
        yield holder
        holder.rollback()


def everything(database: Database) -> dict[str, list[Any]]:
    with psycopg.connect(database.conninfo) as looking:
        return {
            name: looking.execute(f"SELECT * FROM {name} AS t ORDER BY t::text".encode()).fetchall()
            for name in tables.metadata.tables.keys() - OF_WORK
        }


@pytest.mark.parametrize(("run", "table"), WAITS)
def test_a_command_says_who_holds_the_table(
    published: tuple[Database, str], somebody: psycopg.Connection[Any], run: Command, table: str
) -> None:
    database, lake = published
    before = everything(database)
    somebody.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
    with pytest.raises(TableLockedError) as caught:
        run(database, lake)
    said = str(caught.value)
    pid = somebody.info.backend_pid
    assert f"{table} is held (AccessExclusiveLock) by pid {pid} ({SOMEBODY!r} of " in said
    assert re.search(r"\) since 20\d\d-\d\d-\d\d [0-9:]{8} UTC", said)
    assert f"SELECT pg_terminate_backend({pid})." in said
    assert is_transient(caught.value)
    somebody.rollback()
    assert everything(database) == before


def test_checks_say_it_too_and_wait_once(
    published: tuple[Database, str], somebody: psycopg.Connection[Any]
) -> None:
    database, lake = published
    somebody.execute("LOCK TABLE prompt_daily_stats, prompts IN ACCESS EXCLUSIVE MODE")
    made = make_all(at(database, lake))
    waited = next(report for check, report in made if check.make is stats_add_up)
    assert (
        f"prompt_daily_stats, prompts is held (AccessExclusiveLock) by pid {somebody.info.backend_pid}"
        in waited.summary
    )
    somebody.rollback()
    others = [report.summary for _, report in made]
    assert others
    assert set(others) == {waited.summary}


def test_of_several_that_hold_tables_nobody_is_named_to_be_ended(
    published: tuple[Database, str], somebody: psycopg.Connection[Any]
) -> None:
    """A statement that ended all of them would end one that is in nobody's way."""
    database, lake = published
    somebody.execute("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE")
    with psycopg.connect(database.conninfo) as other:
        other.execute("LOCK TABLE prompt_stats IN ACCESS EXCLUSIVE MODE")
        pids = somebody.info.backend_pid, other.info.backend_pid
        with pytest.raises(TableLockedError) as caught:
            reading.top_prompts(at(database, lake), 3)
        other.rollback()
    for pid in pids:
        assert f"by pid {pid} " in caught.value.wrong
        assert str(pid) not in caught.value.remedy


def test_who_is_next_in_line_is_named_with_whom_it_waits_for(
    published: tuple[Database, str], somebody: psycopg.Connection[Any]
) -> None:
    """A long read lets others read, until somebody waits who wants the table alone."""
    database, lake = published
    somebody.execute("SELECT FROM prompt_favorites")
    with psycopg.connect(database.conninfo, autocommit=True) as looking, ThreadPoolExecutor() as pool:
        changing = psycopg.connect(database.conninfo)
        changing.execute("SET lock_timeout = 0")
        done = pool.submit(changing.execute, "LOCK TABLE prompt_favorites IN ACCESS EXCLUSIVE MODE")
        try:
            while not looking.execute(WAITING).fetchone():
                assert not done.done()
            with pytest.raises(TableLockedError) as caught:
                refresh(at(database, lake))
        finally:
            somebody.rollback()
            done.result()
            changing.close()
    assert "prompt_favorites is waited for (AccessExclusiveLock) by pid " in str(caught.value)
    assert f", behind pid {somebody.info.backend_pid}." in str(caught.value)


def test_the_next_refresh_is_right(published: tuple[Database, str]) -> None:
    database, lake = published
    assert refresh(at(database, lake)).usage_count == 2
    assert_equals_recount(database, FIRST_DAY)
