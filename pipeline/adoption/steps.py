"""Takes the steps of a plan one at a time without blocking writers for long, and undoes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tenacity
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from pipeline.adoption.plan import Step
from pipeline.database.connections import Database, cause_of
from pipeline.database.tables import stats_schema_change
from pipeline.errors import DatabaseError, TableLockedError, readable

LOCK_MILLISECONDS = 500
"""The longest wait for a lock. Sessions behind us wait as long."""

PAUSE_SECONDS = 1.0
"""The shortest pause between two attempts, in which others can work. The longest is twice as long."""

PATIENCE_SECONDS = 120.0
"""After this time a step is given up."""


OnText = Callable[[str], None]
"""A callback that takes a message."""


def silent(_: str) -> None:
    """Ignores the message."""


def take(database: Database, step: Step, waits: OnText = silent) -> None:
    """Takes a step and records how to undo it. If others hold the lock, it tries again and again, and calls
    ``waits`` once.

    :raises DatabaseError: it can't be taken; the steps before it stay.
    """
    with _in_words(step.what):
        if step.is_concurrent:
            # Recorded first: an index that is interrupted is there as well.
            with database.engine.begin() as connection:
                _record(connection, step)
            for statement in step.statements:
                run_alone(database, statement)
        else:
            for attempt in _attempts(step.what, waits):
                with attempt, database.engine.begin() as connection:
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                    for statement in step.statements:
                        _execute(connection, statement)
                    _record(connection, step)


def take_back(database: Database, waits: OnText = silent) -> Iterator[str]:
    """Takes back all recorded steps, the last one first; says which, one after the other. ``waits`` is told
    once of each lock that others hold.

    :raises DatabaseError: one can't be taken back; those after it are.
    """
    with database.engine.connect() as connection:
        changes = connection.execute(
            select(stats_schema_change).order_by(stats_schema_change.c.id.desc())
        ).all()
    for change in changes:
        undoing = f"undoing: {change.what}"
        with _in_words(undoing):
            for statement in change.undo:
                run_alone(database, statement, undoing, waits)
            with database.engine.begin() as connection:
                connection.execute(stats_schema_change.delete().where(stats_schema_change.c.id == change.id))
        yield change.what


def _attempts(what: str, waits: OnText) -> tenacity.Retrying:
    def hear(state: tenacity.RetryCallState) -> None:
        if state.attempt_number == 1:
            waits(f"waiting for a lock that another transaction holds: {what}")

    return tenacity.Retrying(
        stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
        wait=tenacity.wait_random(PAUSE_SECONDS, 2 * PAUSE_SECONDS),
        retry=tenacity.retry_if_exception_type(TableLockedError),
        before_sleep=hear,
        reraise=True,
    )


def run_alone(database: Database, statement: str, what: str = "", waits: OnText = silent) -> None:
    """Runs a statement in no transaction. What is done ``CONCURRENTLY`` waits as long as it takes: it waits
    for others, and nobody for it.
    """
    milliseconds = 0 if " CONCURRENTLY " in statement else LOCK_MILLISECONDS
    for attempt in _attempts(what or statement, waits):
        with attempt, database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            before = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
            connection.exec_driver_sql(f"SET lock_timeout = {milliseconds}")
            try:
                _execute(connection, statement)
            finally:
                connection.exec_driver_sql(f"SET lock_timeout = '{before}'")


def _execute(connection: Connection, statement: str) -> None:
    # The driver looks for parameters, and a name or a body may have a percent sign.
    connection.exec_driver_sql(statement.replace("%", "%%"))


def _record(connection: Connection, step: Step) -> None:
    record = insert(stats_schema_change).values(what=step.what, undo=list(step.undo))
    connection.execute(record.on_conflict_do_nothing())


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except TableLockedError as error:
        raise TableLockedError(f"Changing the schema ({what})", error.wrong, error.remedy) from error
    except DBAPIError as error:
        raise DatabaseError(
            f"Changing the schema ({what})",
            readable(cause_of(error)),
            "Fix that and run the command again; it continues where it stopped",
        ) from error
