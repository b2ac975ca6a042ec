"""What every step has around it: connections, the reason of its run, and another try where that may help."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster import AssetCheckExecutionContext, AssetExecutionContext, OpExecutionContext

from pipeline.database.connections import is_transient
from pipeline.installation import Installation
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


@contextmanager
def step(
    context: AssetExecutionContext | AssetCheckExecutionContext | OpExecutionContext, stores: Stores
) -> Iterator[Installation]:
    """The installation for one step, with connections that carry the run's id.

    A transient fault asks Dagster to run the step again, later each time; any other, and the last, fails it
    at once, as it is. Steps can be repeated at will.
    """
    if REASON not in context.run.tags:
        # A run from the launchpad or a backfill: nobody could give it one before.
        why = BACKFILL if BACKFILL_ID in context.run.tags else MANUAL
        context.instance.add_run_tags(context.run.run_id, {REASON: why})
    try:
        with stores.installation_of_run(context.run.run_id) as installation:
            yield installation
    except Exception as error:
        if not is_transient(error) or context.retry_number >= MAX_RETRIES:
            raise
        seconds = FIRST_WAIT_SECONDS * 2**context.retry_number
        context.log.warning(f"Tried again in {seconds} s: {error}")
        raise dg.RetryRequested(MAX_RETRIES, seconds) from error
