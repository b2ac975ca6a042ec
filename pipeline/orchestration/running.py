"""What every step has around it: connections, the reason of its run, and another try where that may help."""

from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_manager
import dagster as dg
import psycopg
from dagster import AssetCheckExecutionContext, AssetExecutionContext, OpExecutionContext
from sqlalchemy.exc import DBAPIError

from pipeline.database import Database
from pipeline.errors import DatabaseUnavailableError, LakeConflictError
from pipeline.orchestration.resources import Stores

WRITERS = "prompt_stats_writers"
"""The pool of the steps that write the lake or the stats. ``dagster.yaml`` lets one run of them go at a time;
the locks in the database hold in any case, and between the command line and Dagster too."""

REASON = "prompt-stats/reason"
"""The tag that says why a run is. The schedule's runs have the weightiest reason of their days
(``pipeline.refresh.Reason``), or ``TICK``."""
TICK = "tick"
"""A schedule's, of every few minutes or every hour."""
MANUAL = "manual"
BACKFILL = "backfill"
NIGHTLY = "nightly"

BACKFILL_ID = "dagster/backfill"

MAX_RETRIES = 3
FIRST_WAIT_SECONDS = 5
"""A server that restarts needs seconds, a failover half a minute: 5, 10 and 20 seconds."""

PASSING = ("08", "40", "53300", "55P03", "57P01", "57P02", "57P03")
"""Beginnings of the SQLSTATE of what passes by itself: a lost connection, a transaction that another one
crossed, too many connections, a lock that was not to be had, a server that stops or starts."""


def is_transient(error: BaseException) -> bool:
    """Whether the fault passes by itself, so that the same again may succeed.

    An error of the connection itself has no SQLSTATE, whether the server is away or refuses the password; so
    a refused password is tried again too.
    """
    if isinstance(error, DatabaseUnavailableError | LakeConflictError):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.OperationalError | adbc_driver_manager.OperationalError):
        return False
    return not cause.sqlstate or cause.sqlstate.startswith(PASSING)


@contextmanager
def step(
    context: AssetExecutionContext | AssetCheckExecutionContext | OpExecutionContext, stores: Stores
) -> Iterator[Database]:
    """The database for one step, with connections that carry the run's id.

    A transient fault asks Dagster to run the step again, later each time; any other, and the last, fails it
    at once, as it is. Steps can be repeated at will.
    """
    if REASON not in context.run.tags:
        # A run from the launchpad or a backfill: nobody could give it one before.
        why = BACKFILL if BACKFILL_ID in context.run.tags else MANUAL
        context.instance.add_run_tags(context.run.run_id, {REASON: why})
    try:
        with stores.database_of_run(context.run.run_id) as database:
            yield database
    except Exception as error:
        if not is_transient(error) or context.retry_number >= MAX_RETRIES:
            raise
        seconds = FIRST_WAIT_SECONDS * 2**context.retry_number
        context.log.warning(f"Tried again in {seconds} s: {error}")
        raise dg.RetryRequested(MAX_RETRIES, seconds) from error
