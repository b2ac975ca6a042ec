"""Runs whose process died, while Dagster believes that they are still running.

The code server that started a run worker reports its end. If the code server or the machine was killed,
nobody reports it. Such a run would occupy the only slot for runs, and the stats would never change again.
"""

import datetime as dt

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from pipeline.database.connections import Database
from pipeline.database.queries import query
from pipeline.orchestration.resources import Stores, name_of_run

CONNECTED_RUNS = query("orchestration/connected_runs")

SILENT = dt.timedelta(minutes=5)
"""None of our steps goes this long without an event or a connection: a step that computes holds a lock."""

GONE = (
    "The process of this run died: it has written no event for {minutes:.0f} minutes and has no connection to"
    " the database. The days that it did not finish are stale. The next tick takes them."
)


def dead_runs(
    instance: dg.DagsterInstance, database: Database, silent: dt.timedelta = SILENT
) -> list[dg.DagsterRun]:
    """The started runs that have shown no event and no connection for ``silent``.

    :raises psycopg.OperationalError: the database does not answer, so the connections are unknown.
    """
    before = dt.datetime.now(dt.UTC) - silent
    started = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    quiet = {name_of_run(run.run_id): run for run in started if _last_event(instance, run) < before}
    with database.connect() as connection:
        names = connection.execute(CONNECTED_RUNS, {"names": list(quiet)}).fetchall()
    return [run for name, run in quiet.items() if (name,) not in names]


def _last_event(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dt.datetime:
    [record] = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return dt.datetime.fromtimestamp(record.timestamp, dt.UTC)


@dg.sensor(
    name="fail_dead_runs",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed if their process died, so that other runs can start.",
)
def fail_dead_runs(context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.SkipReason:
    """Looks every minute at the runs of this code location, and at those that a command started."""
    dead = [run for run in dead_runs(context.instance, stores.database) if _is_ours(run, context)]
    for run in dead:
        context.instance.report_run_failed(run, GONE.format(minutes=SILENT.total_seconds() / 60))
    return dg.SkipReason(f"{len(dead)} runs were marked as failed." if dead else "All runs are alive.")


def _is_ours(run: dg.DagsterRun, context: dg.SensorEvaluationContext) -> bool:
    """Whether a schedule, the UI or a command of this installation started it."""
    by, here, repository = run.remote_job_origin, context.code_location_origin, context.repository_def
    is_of_here = not by or not here or by.location_name == here.location_name
    return is_of_here and (not repository or repository.has_job(run.job_name))
