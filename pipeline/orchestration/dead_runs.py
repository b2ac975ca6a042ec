"""Runs whose process is gone: of them Dagster believes that they are still under way.

A run worker that ends is reported by the code server that started it. Nobody reports those of a code server
that was killed, or of a machine that was: left alone, they would hold the only slot for a run, and the stats
would stay as they are for ever.
"""

import datetime as dt

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from pipeline.database.connections import Database
from pipeline.database.queries import query
from pipeline.orchestration.resources import Stores, name_of_run

CONNECTED_RUNS = query("orchestration/connected_runs")

SILENT = dt.timedelta(minutes=5)
"""No step of ours goes so long without an event or a connection: one that computes holds a lock."""

GONE = (
    "The process of this run is gone: it wrote no event for {minutes:.0f} minutes and has no connection to"
    " the database. What it left undone is stale, and taken by the next tick."
)


def dead_runs(
    instance: dg.DagsterInstance, database: Database, silent: dt.timedelta = SILENT
) -> list[dg.DagsterRun]:
    """The runs that have started, not ended, and gave no sign of life for so long: no event, no connection.

    :raises psycopg.OperationalError: the database does not answer; then nothing can be said.
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
    description="Marks runs as failed whose process is gone, so that others can start.",
)
def fail_dead_runs(context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.SkipReason:
    """Every minute; of this code location's runs alone, and those that a command started."""
    dead = [run for run in dead_runs(context.instance, stores.database) if _is_ours(run, context)]
    for run in dead:
        context.instance.report_run_failed(run, GONE.format(minutes=SILENT.total_seconds() / 60))
    return dg.SkipReason(f"{len(dead)} runs were marked as failed." if dead else "Every run is alive.")


def _is_ours(run: dg.DagsterRun, context: dg.SensorEvaluationContext) -> bool:
    """Whether a schedule, the UI or a command of this installation started it."""
    by, here, repository = run.remote_job_origin, context.code_location_origin, context.repository_def
    is_of_here = not by or not here or by.location_name == here.location_name
    return is_of_here and (not repository or repository.has_job(run.job_name))
