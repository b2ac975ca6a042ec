"""Publishes that take turns, and what they do where what is published changes all the same."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, insert, select

from pipeline.database.connections import Database
from pipeline.database.locks import LOCK_SPACE, Lock, lock_transaction
from pipeline.database.tables import STATS_TABLES, prompt_stats, stats_lake_token, stats_refresh
from pipeline.errors import DatabaseUnavailableError, LakeConflictError, LakeError
from pipeline.lake.partials import roll_up_days
from pipeline.lake.usage_events import claim_lake, sync_days
from pipeline.publish.basis import read_basis
from pipeline.publish.copy import read_table, reading
from pipeline.publish.publish import ATTEMPTS, publish
from pipeline.refresh import plan_refresh, refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount

APPEND = """
INSERT INTO prompt_usage (prompt_id, user_id, success, created_at)
VALUES ('00000000-0000-4000-8000-000000000007', gen_random_uuid(), true, now())
"""
LOCKS = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s AND granted = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
ANEW = "the published stats changed meanwhile, so they are computed again"


def bring_in(database: Database, lake: str) -> None:
    """One more event, which the lake has then, and no published number."""
    with psycopg.connect(database.conninfo) as app:
        app.execute(APPEND)
    days = plan_refresh(at(database, lake)).days
    sync_days(at(database, lake), days)
    roll_up_days(at(database, lake), days)


def wait_for(database: Database, lock: Lock, sessions: int, *, granted: bool = False) -> None:
    """Returns once so many sessions wait for a lock, or hold it."""
    with psycopg.connect(database.conninfo, autocommit=True) as looking:
        for _ in range(2_000):
            if looking.execute(LOCKS, [LOCK_SPACE + lock, granted]).fetchone() == (sessions,):
                return
            looking.execute("SELECT pg_sleep(0.03)")
    pytest.fail(f"never was the lock {lock.name} that of {sessions} sessions")


@contextmanager
def publishing(database: Database) -> Iterator[Connection]:
    """A transaction in which nobody else publishes."""
    with database.engine.begin() as connection:
        lock_transaction(connection, Lock.PUBLISH)
        yield connection


def record_publish(connection: Connection) -> None:
    """Leaves behind that somebody published the same once more."""
    columns = [column for column in stats_refresh.c if column.name != "id"]
    last = select(*columns).order_by(stats_refresh.c.id.desc()).limit(1)
    connection.execute(insert(stats_refresh).from_select(columns, last))


def test_a_publish_is_computed_before_it_locks_what_it_writes(
    database: Database, lake: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bring_in(database, lake)
    publish(at(database, lake))
    bring_in(database, lake)
    with ThreadPoolExecutor() as pool:
        with publishing(database):
            first = pool.submit(publish, at(database, lake))
            wait_for(database, Lock.PUBLISH, 1)
            # By it the run is seen to be alive, and others know that they would compute the same.
            wait_for(database, Lock.STATS, 1, granted=True)
            second = pool.submit(publish, at(database, lake))
            wait_for(database, Lock.STATS, 1)
            # The lake goes on: what the first one has computed is right as of an earlier time.
            bring_in(database, lake)
        assert first.result().usage_count == 2
        assert second.result().usage_count == 3
    assert ANEW not in caplog.messages
    assert_equals_recount(database, FIRST_DAY)


def test_what_changed_while_it_computed_is_computed_anew(
    database: Database, lake: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bring_in(database, lake)
    publish(at(database, lake))
    bring_in(database, lake)
    with ThreadPoolExecutor() as pool:
        with publishing(database) as connection:
            report = pool.submit(publish, at(database, lake))
            wait_for(database, Lock.PUBLISH, 1)
            bring_in(database, lake)
            record_publish(connection)
        assert report.result().usage_count == 3
    assert caplog.messages.count(ANEW) == 1
    assert_equals_recount(database, FIRST_DAY)


def test_after_some_attempts_the_publish_gives_up(
    database: Database, lake: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bring_in(database, lake)
    publish(at(database, lake))
    bring_in(database, lake)
    with ThreadPoolExecutor() as pool:
        turn = publishing(database)
        connection = turn.__enter__()
        report = pool.submit(publish, at(database, lake))
        for _ in range(ATTEMPTS):
            wait_for(database, Lock.PUBLISH, 1)
            # Behind it in the queue, and so before its next attempt.
            following = publishing(database)
            entered = pool.submit(following.__enter__)
            wait_for(database, Lock.PUBLISH, 2)
            record_publish(connection)
            turn.__exit__(None, None, None)
            turn, connection = following, entered.result()
        turn.__exit__(None, None, None)
        with pytest.raises(LakeConflictError, match=f"changed the published stats {ATTEMPTS} times"):
            report.result()
    assert caplog.messages.count(ANEW) == ATTEMPTS
    assert publish_count(database) == 1 + ATTEMPTS
    assert publish(at(database, lake)).usage_count == 2
    assert_equals_recount(database, FIRST_DAY)


def test_commits_of_our_own_are_no_other_basis(database: Database, lake: str) -> None:
    bring_in(database, lake)
    publish(at(database, lake))
    with database.engine.connect() as connection:
        before = read_basis(connection, lake)
    # The token that the database knew then is forgotten.
    bring_in(database, lake)
    bring_in(database, lake)
    with database.engine.connect() as connection:
        assert read_basis(connection, lake).equals(before)


def test_a_lake_that_was_taken_over_meanwhile_is_another_basis(database: Database, lake: str) -> None:
    refresh(at(database, lake))
    bring_in(database, lake)
    with database.engine.connect() as connection:
        before = read_basis(connection, lake)
    with database.engine.begin() as connection:
        # As after a restore to a time before the last commit.
        connection.execute(stats_lake_token.update().values(token=-stats_lake_token.c.token))
    assert claim_lake(at(database, lake))
    with database.engine.connect() as connection:
        assert not read_basis(connection, lake).equals(before)


def test_a_database_that_goes_back_while_a_publish_computes_is_seen(database: Database, lake: str) -> None:
    bring_in(database, lake)
    publish(at(database, lake))
    bring_in(database, lake)
    with ThreadPoolExecutor() as pool:
        with publishing(database) as connection:
            report = pool.submit(publish, at(database, lake))
            wait_for(database, Lock.PUBLISH, 1)
            connection.execute(stats_lake_token.update().values(token=-stats_lake_token.c.token))
        with pytest.raises(LakeError, match="does not know"):
            report.result()
    assert publish_count(database) == 1


LOCK = "LOCK TABLE prompt_stats IN ACCESS EXCLUSIVE MODE"
WAITS_FOR_A_TABLE = """
SELECT count(*) FROM pg_locks WHERE relation = 'prompt_stats'::regclass AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def test_nobody_who_waits_for_a_table_stands_between_its_writer_and_its_reader(database: Database) -> None:
    with (
        ThreadPoolExecutor() as pool,
        psycopg.connect(database.conninfo) as other,
        psycopg.connect(database.conninfo, autocommit=True) as looking,
    ):

        def read_while_somebody_waits() -> None:
            with (
                database.engine.begin() as connection,
                reading(database, connection, STATS_TABLES) as reader,
            ):
                waiting.append(pool.submit(other.execute, LOCK))
                while looking.execute(WAITS_FOR_A_TABLE).fetchone() != (1,):
                    assert not waiting[0].done()
                read_table(reader, prompt_stats, ["prompt_id"])

        waiting: list[Future[object]] = []
        with pytest.raises(DatabaseUnavailableError, match="is waited for "):
            read_while_somebody_waits()
        waiting[0].result()


def publish_count(database: Database) -> int:
    with database.engine.connect() as connection:
        return len(connection.execute(select(stats_refresh.c.id)).all())
