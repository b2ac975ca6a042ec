"""The asset ``stats_alerts`` with its job, and the sensor that sends messages about failed runs."""

import inspect
from collections.abc import Iterator

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter
from sqlalchemy.exc import DBAPIError

from pipeline import formats
from pipeline.alerts import comparison, messages, notifier, rules
from pipeline.alerts.evaluation import Evaluation, evaluate
from pipeline.database import tables
from pipeline.errors import DatabaseError
from pipeline.lake.usage_events import TABLE
from pipeline.orchestration.explaining import Upstream, explained
from pipeline.orchestration.jobs import UNFINISHED
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import BACKFILL_ID, REASON, TICK, step

ALERTS_JOB = "evaluate_alerts"
WILL_RETRY_TAG = "dagster/will_retry"

LISTED = 50
LONGEST_ERROR = 1_000

TOLD_AGAIN_AFTER_SECONDS = 12 * 3600
"""A job that fails every five minutes all night causes one message; a nightly job, one per night."""


@dg.multi_asset(
    name=tables.stats_alerts.name,
    specs=[
        explained(
            tables.stats_alerts.name,
            [
                Upstream(TABLE, {"recent_count": ("id",), "past_count": ("id",)}),
                Upstream(tables.prompts.name, by_name=False),
            ],
            group="alerts",
            kinds={"duckdb", "postgres"},
            pace="every-15-minutes",
            description=tables.stats_alerts.comment,
            code=[inspect.getsource(rules), inspect.getsource(comparison)],
        )
    ],
)
def stats_alerts(
    context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
) -> dg.MaterializeResult[None]:
    """Compares the last hours with the past, raises alerts, ends them, and sends messages."""
    with step(context, stores) as installation:
        done = evaluate(installation.database, stores.settings)
    for channel, failure in done.failures.items():
        # The run does not fail, because its message would go to the channel that does not work.
        context.log.warning(f"{channel}: {failure}")
    for day, why in done.left_out.items():
        context.log.warning(f"Alerts were evaluated without {day}: {why}")
    return dg.MaterializeResult(
        metadata={
            "raised": len(done.alerts),
            "days_left_out": {day.isoformat(): why for day, why in done.left_out.items()},
            "alerts": dg.MetadataValue.md(_table(done)),
            "series_tested": done.tested,
            "alerts_told": done.told,
            "messages_sent": done.sent,
            "channels_failing": len(done.failures),
            "seconds": round(done.seconds, 3),
            **({"as_of": dg.MetadataValue.timestamp(done.as_of)} if done.as_of else {}),
        }
    )


def _table(done: Evaluation) -> str:
    if not done.alerts:
        return "No alerts." if done.as_of else "No alerts. Nothing has been published yet."
    rows = (
        [alert["state"], formats.markdown(messages.sentence(alert)), f"{alert['raised_at']:%Y-%m-%d %H:%M}"]
        for alert in done.alerts[:LISTED]
    )
    return formats.markdown_table(["state", "what", "raised (UTC)"], rows)


evaluate_alerts = dg.define_asset_job(
    ALERTS_JOB,
    selection=dg.AssetSelection.assets(stats_alerts),
    executor_def=dg.in_process_executor,
    description="Compares the last hours with the past, raises alerts, and sends messages.",
)


@dg.schedule(
    name="evaluate_alerts_schedule",
    job=evaluate_alerts,
    # Every quarter of an hour: five more minutes of events rarely change what an hour's events show. Two
    # minutes after a refresh starts, so that neither waits for the other.
    cron_schedule="2,17,32,47 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    execution_timezone="UTC",
)
def evaluate_alerts_schedule(
    context: dg.ScheduleEvaluationContext,
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Starts an evaluation every quarter of an hour, unless the last one is still running."""
    if context.instance.get_runs(RunsFilter(job_name=ALERTS_JOB, statuses=UNFINISHED), limit=1):
        yield dg.SkipReason("An evaluation is still running.")
        return
    yield dg.RunRequest(tags={REASON: TICK})


# Without monitored_jobs: with them, runs of backfills would be missed.
@dg.run_failure_sensor(
    name="run_failures",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a message about each failed job or backfill to the receivers of alerts.",
)
def run_failures(context: dg.RunFailureSensorContext, stores: dg.ResourceParam[Stores]) -> None:
    """Sends one message for the first failure of a job. The next one follows a success or half a day."""
    run = context.dagster_run
    backfill = run.tags.get(BACKFILL_ID)
    if not notifier.channels(stores.settings) or _is_known(context.instance, run, backfill):
        return
    message = messages.run_failure(run.job_name, run.run_id, _error(context), backfill)
    try:
        with stores.installation_of_run(run.run_id) as installation:
            notifier.notify(installation.database, stores.settings, message)
    except (DatabaseError, DBAPIError):
        # The message can't be stored. This may be why the run failed.
        notifier.send_now(stores.settings, message)


def _is_known(instance: dg.DagsterInstance, run: dg.DagsterRun, backfill: str | None) -> bool:
    """Whether Dagster retries the run, or a message about an earlier failure was sent recently."""
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return True
    own = instance.get_run_record_by_id(run.run_id)
    if own is None:
        return False
    before = instance.get_run_records(
        RunsFilter(
            job_name=run.job_name,
            statuses=[DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE],
            tags={BACKFILL_ID: backfill} if backfill else None,
            created_before=own.create_timestamp,
        ),
        limit=1,
    )
    return any(
        record.dagster_run.status is DagsterRunStatus.FAILURE
        and (own.create_timestamp - record.create_timestamp).total_seconds() < TOLD_AGAIN_AFTER_SECONDS
        for record in before
    )


def _error(context: dg.RunFailureSensorContext) -> str:
    """The error of the first failed step, or else of the run."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error and error.cause:
            error = error.cause
        if error:
            return error.message.strip()[:LONGEST_ERROR]
    return (context.failure_event.message or "no step failed")[:LONGEST_ERROR]
