"""Advisory locks: one installation's sessions take turns, and whoever waits learns for whom."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipeline.adoption.schema import migrate
from pipeline.database import locks
from pipeline.database.connections import Database, is_transient
from pipeline.database.locks import Lock, lock_transaction, locked
from pipeline.errors import DatabaseUnavailableError
from pipeline.names import TableNames
from tests.conftest import NewDatabase
from tests.roles import as_role

SHORT_SECONDS = 0.3

Take = Callable[[Database, Lock], AbstractContextManager[None]]


@contextmanager
def by_session(database: Database, lock: Lock) -> Iterator[None]:
    """Held by a session."""
    with database.engine.connect() as connection, locked(connection, lock, SHORT_SECONDS):
        yield


@contextmanager
def by_transaction(database: Database, lock: Lock) -> Iterator[None]:
    """Held by a transaction."""
    with database.engine.begin() as connection:
        lock_transaction(connection, lock, SHORT_SECONDS)
        yield


BOTH = pytest.mark.parametrize("take", [by_session, by_transaction])


@BOTH
@pytest.mark.parametrize("hold", [by_session, by_transaction])
def test_a_wait_ends_and_names_who_holds_the_lock(
    database: Database,
    take: Take,
    hold: Take,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "ATTEMPT_SECONDS", 0.05)
    holder = database.named("prompt-stats of the night")
    with (
        hold(holder, Lock.LAKE),
        pytest.raises(DatabaseUnavailableError) as caught,
        take(database, Lock.LAKE),
    ):
        pytest.fail("it has the lock, too")
    holder.close()
    said = str(caught.value)
    assert is_transient(caught.value)
    assert "Waiting for the lock lake: after 0 s it is still held by pid " in said
    assert "('prompt-stats of the night' of " in said
    assert " UTC. Run the command again when that has ended" in said
    warned = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    # Once, however often it tries.
    assert len(warned) == 1
    assert "Waiting for the lock lake, which is held by pid " in warned[0]

    # It was left, and is free for the next.
    with take(database, Lock.LAKE):
        pass


@BOTH
def test_who_waits_goes_on_when_the_lock_is_free(
    database: Database, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "ATTEMPT_SECONDS", 0.02)
    monkeypatch.setitem(globals(), "SHORT_SECONDS", 60)
    has_begun, order = threading.Event(), list[str]()

    def wait() -> None:
        has_begun.set()
        with take(database, Lock.PUBLISH):
            order.append("waited")

    with ThreadPoolExecutor() as pool:
        with take(database, Lock.PUBLISH):
            done = pool.submit(wait)
            has_begun.wait()
            with psycopg.connect(database.conninfo, autocommit=True) as looking:
                waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                while not looking.execute(waiting).fetchone():
                    assert not done.done()
            order.append("held")
        done.result()
    assert order == ["held", "waited"]


def test_the_wait_leaves_the_transaction_as_it_was(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '1234ms'")
        lock_transaction(connection, Lock.PUBLISH)
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "1234ms"
    # A pooled session goes to the next as it came.
    with database.locked(Lock.LAKE):
        pass
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "1min"


def test_a_role_that_may_not_see_since_when_is_told_who(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "ATTEMPT_SECONDS", 0.05)
    another = database.named("another")
    with (
        as_role(database, "pipeline") as seen,
        by_session(another, Lock.LAKE),
        pytest.raises(DatabaseUnavailableError, match=r"pid \d+ \('another' of .*\) for a time that"),
        by_session(seen, Lock.LAKE),
    ):
        pytest.fail("it has the lock, too")
    another.close()


@pytest.fixture
def two(empty_database: Database) -> Iterator[tuple[Database, Database]]:
    """Two installations, each in a schema of its own of one database."""
    with psycopg.connect(empty_database.conninfo) as owner:
        owner.execute("CREATE SCHEMA a; CREATE SCHEMA b")
    names = [TableNames.parse(f"schema={schema}") for schema in "ab"]
    a, b = (Database(empty_database.conninfo, each) for each in names)
    yield a, b
    a.close()
    b.close()


@pytest.mark.parametrize("lock", Lock)
@BOTH
def test_two_installations_in_one_database_do_not_wait_for_each_other(
    two: tuple[Database, Database], take: Take, lock: Lock
) -> None:
    a, b = two
    with take(a, lock), take(b, lock):
        pass


def test_an_installation_has_the_same_lock_before_and_after_its_tables_are_made(
    two: tuple[Database, Database],
) -> None:
    a, _ = two
    with by_session(a, Lock.SCHEMA):
        other = Database(make_conninfo(a.conninfo, application_name="other"), a.names)
        with psycopg.connect(other.conninfo) as owner:
            owner.execute("CREATE TABLE stats_refresh ()")
        with pytest.raises(DatabaseUnavailableError), by_session(other, Lock.SCHEMA):
            pytest.fail("it has the lock, too")
        other.close()


def test_two_migrations_at_once_end(
    new_database: NewDatabase, app_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An index that one of them makes waits for the snapshot with which the other waits for the lock.
    monkeypatch.setattr(locks, "ATTEMPT_SECONDS", 0.2)
    with new_database(app_template) as database, ThreadPoolExecutor() as pool:
        reports = list(pool.map(migrate, [database] * 2))
    assert sorted(len(report.steps) > 0 for report in reports) == [False, True]
