"""Dagster's daemon, a step at a time: what a backfill from the UI goes through, with real processes."""

from __future__ import annotations

import datetime as dt
import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

ENDS = (BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.FAILED)
CODE_LOCATION = ModuleTarget(
    "pipeline.definitions", attribute=None, working_directory=None, location_name=None
)


@contextmanager
def workspace(instance: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    """The code location as the daemon and the UI see it: in a process of its own, with this environment."""
    with create_test_daemon_workspace_context(CODE_LOCATION, instance) as context:
        yield context


def backfill(
    context: WorkspaceProcessContext,
    days: Sequence[dt.date],
    names: Sequence[str],
    timeout_seconds: float = 300,
) -> BulkActionStatus:
    """Backfills some days of some assets as the UI's launchpad does, and waits; returns how it ended."""
    instance = context.instance
    graph = context.create_request_context().asset_graph
    backfill_id = uuid.uuid4().hex[:8]
    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=backfill_id,
            asset_graph=graph,
            partition_names=[day.isoformat() for day in days],
            asset_selection=[dg.AssetKey(name) for name in names],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    )
    give_up_at = time.monotonic() + timeout_seconds
    with QueuedRunCoordinatorDaemon(interval_seconds=1) as coordinator:
        while time.monotonic() < give_up_at:
            for step in (
                execute_backfill_iteration(context, logging.getLogger("backfill")),
                coordinator.run_iteration(context),
            ):
                for error in step:
                    assert error is None, error
            state = instance.get_backfill(backfill_id)
            assert state
            if state.status in ENDS:
                return state.status
            time.sleep(0.2)
    raise TimeoutError(f"the backfill of {len(days)} days is not done after {timeout_seconds} s")
