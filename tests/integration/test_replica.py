"""Raw events read from a streaming replica: as if from the primary, or not at all."""

from __future__ import annotations

import datetime as dt
import logging
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.database.connections import Database, is_transient
from pipeline.database.embedded import client
from pipeline.database.embedded.server import Server
from pipeline.errors import DatabaseError, DatabaseUnavailableError
from pipeline.lake import replica
from pipeline.lake.flow import Progress
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.refresh import plan_refresh, refresh
from pipeline.settings import Settings
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount

NOW = dt.datetime.now(dt.UTC)

APPEND = """
INSERT INTO prompt_usage (prompt_id, user_id, success, error_message, created_at)
SELECT md5('prompt')::uuid, gen_random_uuid(), true, repeat('x', %s), %s FROM generate_series(1, %s)
"""
DELETE_THE_OLDEST = (
    "DELETE FROM prompt_usage WHERE id = (SELECT id FROM prompt_usage ORDER BY ingest_xid LIMIT 1)"
)
PUBLISHED = "SELECT (SELECT max(id) FROM stats_refresh), (SELECT sum(usage_count) FROM prompt_stats)"


@pytest.fixture(scope="session")
def standby_url(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a server that replays what the session's server does, of which it is a copy.

    It lives as long as this process.
    """
    home = tmp_path_factory.mktemp("standby home")
    root = home / "postgres"
    root.mkdir()
    root.chmod(0o711)
    server = Server(root)
    server._make_area()
    command = ["pg_basebackup", "--pgdata", str(server.data), "--dbname", server_url]
    server._run("Copying the primary", [*command, "--checkpoint=fast", "--no-sync", "--write-recovery-conf"])
    with (server.data / "postgresql.auto.conf").open("a") as configuration:
        # A read that is in the way is broken off at once.
        configuration.write("max_standby_streaming_delay = 0\n")
    server._write_private(root / "password", str(conninfo_to_dict(server_url)["password"]))
    return client.start(home)


@pytest.fixture
def replicated(database: Database, standby_url: str) -> Iterator[Database]:
    """The test's database, with one event, and its copy on the standby."""
    append(database, 1)
    copy = Database(make_conninfo(standby_url, dbname=name_of(database)))
    wait_until(lambda: is_there(copy))
    replicated = Database(database.conninfo, replica=copy)
    yield replicated
    execute(copy, "SELECT pg_wal_replay_resume()")
    replicated.close()


def name_of(database: Database) -> str:
    return str(conninfo_to_dict(database.conninfo)["dbname"])


def is_there(database: Database) -> bool:
    """Whether a database answers."""
    try:
        psycopg.connect(database.conninfo).close()
    except psycopg.OperationalError:
        return False
    return True


def append(database: Database, events: int, text_length: int = 0) -> None:
    """Some events, committed on the primary."""
    with psycopg.connect(database.conninfo) as app:
        app.execute(APPEND, (text_length, NOW, events))


def execute(database: Database | None, statement: str) -> list[tuple[object, ...]]:
    """What a statement of the app or an operator returns."""
    assert database
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def wait_until(happened: Callable[[], bool]) -> None:
    """Waits for something that takes a moment.

    :raises AssertionError: it takes longer.
    """
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def paused(database: Database) -> Iterator[None]:
    """The replica receives what the primary does, and replays none of it."""
    copy = database.replica
    execute(copy, "SELECT pg_wal_replay_pause()")
    wait_until(lambda: execute(copy, "SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
    yield
    execute(copy, "SELECT pg_wal_replay_resume()")


def test_events_are_read_from_the_replica(replicated: Database, lake: str) -> None:
    refresh(at(replicated, lake))
    assert_equals_recount(replicated, FIRST_DAY)
    # Only reads of whole rows reach the table on the standby; all else is asked on the primary.
    read = (
        "SELECT seq_scan + coalesce(idx_scan, 0) > 0 FROM pg_stat_user_tables WHERE relname = 'prompt_usage'"
    )
    wait_until(lambda: execute(replicated.replica, read) == [(True,)])


def test_a_replica_that_is_behind_is_waited_for(
    replicated: Database, lake: str, caplog: pytest.LogCaptureFixture
) -> None:
    refresh(at(replicated, lake))
    before = execute(replicated, PUBLISHED)
    caplog.set_level(logging.INFO, "pipeline")
    with ThreadPoolExecutor(1) as pool:
        with paused(replicated):
            append(replicated, 3)
            execute(replicated, DELETE_THE_OLDEST)
            refreshed = pool.submit(refresh, at(replicated, lake))
            wait_until(lambda: "waiting" in caplog.text)
            assert not refreshed.done()
            assert execute(replicated, PUBLISHED) == before
        assert refreshed.result().usage_count == 3
    assert re.search(r"the replica, which is [\d,]+ bytes of the log behind", caplog.text)
    assert_equals_recount(replicated, FIRST_DAY)
    assert plan_refresh(at(replicated, lake)).days == []


def test_nothing_is_published_without_what_a_replica_lacks(
    replicated: Database, lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(at(replicated, lake))
    before = execute(replicated, PUBLISHED)
    monkeypatch.setattr(replica, "WAIT_SECONDS", 0.3)
    with paused(replicated):
        append(replicated, 3)
        execute(replicated, DELETE_THE_OLDEST)
        with pytest.raises(DatabaseUnavailableError, match=r"bytes of the log behind .* is paused") as error:
            refresh(at(replicated, lake))
        assert is_transient(error.value)
        assert execute(replicated, PUBLISHED) == before
    monkeypatch.undo()
    refresh(at(replicated, lake))
    assert_equals_recount(replicated, FIRST_DAY)


def test_a_read_that_a_replica_breaks_off_may_be_tried_again(replicated: Database, lake: str) -> None:
    # More than the buffers between server and reader hold.
    append(replicated, 10_000, text_length=1900)
    seen: list[Progress] = []

    def interfere(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == 1:
            execute(replicated, DELETE_THE_OLDEST)
            execute(replicated, "VACUUM prompt_usage")
            (((position,),)) = execute(replicated, "SELECT pg_current_wal_flush_lsn()::text")
            received = f"SELECT pg_last_wal_receive_lsn() >= '{position}'"
            wait_until(lambda: execute(replicated.replica, received) == [(True,)])

    with pytest.raises(DatabaseUnavailableError, match="conflict with recovery") as error:
        sync_days(at(replicated, lake), [NOW.date()], progress=interfere, max_rows_per_second=10_000)
    assert is_transient(error.value)
    assert 0 < seen[-1].done < 10_000
    assert open_usage_events(lake).days().is_empty()
    refresh(at(replicated, lake))
    assert_equals_recount(replicated, FIRST_DAY)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{primary}", "it is not in recovery, so it is the primary itself"),
        ("{another}", "it is not a replica of the database in DATABASE_URL"),
        ("host=127.0.0.1 port=1", "Check PROMPT_STATS_READ_URL"),
        ("somewhere", "Reading PROMPT_STATS_READ_URL: it is neither"),
    ],
)
def test_another_server_is_not_taken_for_a_replica(
    replicated: Database, standby_url: str, lake: str, address: str, said: str
) -> None:
    addresses = {
        "primary": replicated.conninfo,
        "another": make_conninfo(standby_url, dbname="template1"),
    }
    environment = {
        "DATABASE_URL": replicated.conninfo,
        "PROMPT_STATS_READ_URL": address.format(**addresses),
    }
    with (
        pytest.raises(DatabaseError, match=said),
        closing(Database.from_settings(Settings.model_validate(environment))) as wrong,
    ):
        refresh(at(wrong, lake))
