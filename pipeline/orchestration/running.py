"""What surrounds every step: its connections, the reason of its run, and retries after transient faults."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster import AssetCheckExecutionContext, AssetExecutionContext, OpExecutionContext

from pipeline.database.connections import is_transient
from pipeline.installation import Installation
from pipeline.orchestration.resources import Stores

WRITERS = "prompt_stats_writers"
"""The pool of the steps that write the lake or the stats. ``dagster.yaml`` allows one run of them at a
time. The locks in the database apply in any case, also between the command line and Dagster."""

REASON = "prompt-stats/reason"
"""The tag that says why a run was launched. The schedule's runs have the most important reason of their days
(``pipeline.refresh.Reason``), or ``TICK``."""
TICK = "tick"
"""A run of a schedule that ticks every few minutes or every hour."""
MANUAL = "manual"
BACKFILL = "backfill"
NIGHTLY = "nightly"

BACKFILL_ID = "dagster/backfill"

MAX_RETRIES = 3
FIRST_WAIT_SECONDS = 5
"""The waits are 5, 10 and 20 seconds: a server's restart takes seconds, a failover half a minute."""


@contextmanager
def step(
    context: AssetExecutionContext | AssetCheckExecutionContext | OpExecutionContext, stores: Stores
) -> Iterator[Installation]:
    """The installation for one step, with connections that carry the run's id.

    After a transient fault, Dagster retries the step, and waits longer each time. Any other fault, or the
    last one, fails the step unchanged. Every step can be repeated.
    """
    if REASON not in context.run.tags:
        # A run from the launchpad or a backfill has no reason yet.
        why = BACKFILL if BACKFILL_ID in context.run.tags else MANUAL
        context.instance.add_run_tags(context.run.run_id, {REASON: why})
    try:
        with stores.installation_of_run(context.run.run_id) as installation:
            yield installation
    except Exception as error:
        if not is_transient(error) or context.retry_number >= MAX_RETRIES:
            raise
        seconds = FIRST_WAIT_SECONDS * 2**context.retry_number
        context.log.warning(f"Retrying in {seconds} s: {error}")
        raise dg.RetryRequested(MAX_RETRIES, seconds) from error
