"""The nightly job ``forget_runs``. Dagster keeps every run, 300 per day, and has no setting for that."""

import datetime as dt

import dagster as dg
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter

from pipeline.orchestration.running import NIGHTLY, REASON

FORGET_JOB = "forget_runs"
KEPT = dt.timedelta(days=30)
ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


def forget(instance: DagsterInstance, before: dt.datetime) -> int:
    """Deletes ended runs that were created before a moment, with their events. Returns their number.

    A run stays if it was the last to make an asset or one of its partitions, which the UI would otherwise
    show as missing.
    """
    kept = {run for key in instance.all_asset_keys() for run in _latest_runs(instance, key)}
    ended = instance.get_runs(RunsFilter(statuses=ENDED, created_before=before))
    forgotten = [run.run_id for run in ended if run.run_id not in kept]
    for run_id in forgotten:
        instance.delete_run(run_id)
    return len(forgotten)


def _latest_runs(instance: DagsterInstance, key: dg.AssetKey) -> set[str]:
    """The runs that were the last to make the asset, or one of its partitions."""
    by_partition = instance.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_MATERIALIZATION)
    latest = instance.fetch_materializations(key, limit=1).records
    if by_partition:
        wanted = dg.AssetRecordsFilter(key, storage_ids=list(by_partition.values()))
        latest = instance.fetch_materializations(wanted, limit=len(by_partition)).records
    return {event.run_id for event in latest}


@dg.op(name="forget", out=dg.Out(dg.Nothing))
def forget_op(context: dg.OpExecutionContext) -> None:
    """Deletes runs that are older than 30 days and that no asset needs."""
    forgotten = forget(context.instance, dt.datetime.now(dt.UTC) - KEPT)
    context.add_output_metadata({"runs_forgotten": forgotten})


@dg.job(name=FORGET_JOB, executor_def=dg.in_process_executor)
def forget_runs() -> None:
    """Deletes Dagster's runs that are older than 30 days, except the last run of each partition."""
    forget_op()


forget_runs_schedule = dg.ScheduleDefinition(
    name="forget_runs_schedule",
    job=forget_runs,
    cron_schedule="43 4 * * *",
    execution_timezone="UTC",
    tags={REASON: NIGHTLY},
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
