"""The nightly job ``reconcile_lake``, and ``retain_events``, which is off unless it is asked for."""

from collections.abc import Iterator

import dagster as dg

from pipeline import coverage
from pipeline.lake import source, upkeep
from pipeline.lake.usage_events import TABLE
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import NIGHTLY, REASON, WRITERS, step
from pipeline.reconcile import reconcile
from pipeline.retention import retain

RECONCILE_JOB = "reconcile_lake"
RETAIN_JOB = "retain_events"
COVERAGE_JOB = "check_coverage"


class RetainConfig(dg.Config):
    """``days``: how many days of raw events stay in Postgres, today included."""

    days: int


@dg.op(name="reconcile", out=dg.Out(dg.Nothing), pool=WRITERS)
def reconcile_op(context: dg.OpExecutionContext, stores: dg.ResourceParam[Stores]) -> None:
    """Compares the lake with Postgres and the stats with the lake, and repairs what differs."""
    with step(context, stores) as database:
        report = reconcile(
            database,
            stores.lake,
            stores.first_day,
            lambda done, total: context.log.info(f"{done} of {total} months are compared"),
        )
    context.add_output_metadata(
        {
            "days": report.days,
            "events": report.events,
            "repaired": {day.isoformat(): why for day, why in report.repaired.items()},
            "rebuilt": {table: len(days) for table, days in report.rebuilt.items()},
            "lost": {day.isoformat(): why for day, why in report.lost.items()},
            "rows_corrected": report.rows_corrected,
        }
    )
    if report.lost:
        raise dg.Failure("The lake lost expired days; restore them from its backup", allow_retries=False)


@dg.op(name="keep_up", ins={"start": dg.In(dg.Nothing)}, pool=WRITERS)
def keep_up_op(context: dg.OpExecutionContext, stores: dg.ResourceParam[Stores]) -> None:
    """Joins small files and deletes those that were replaced more than a week ago."""
    with step(context, stores) as database:
        report = upkeep.keep_up(database, stores.lake)
    context.add_output_metadata({"files_joined": report.files_joined, "files_deleted": report.files_deleted})


@dg.op(name="retain", pool=WRITERS)
def retain_op(context: dg.OpExecutionContext, config: RetainConfig, stores: dg.ResourceParam[Stores]) -> None:
    """Removes old raw events from Postgres once the lake has them."""
    with step(context, stores) as database:
        report = retain(
            database,
            stores.lake,
            stores.first_day,
            config.days,
            lambda done, total: context.log.info(f"{done:,} of {total:,} raw events are removed"),
        )
    context.add_output_metadata(
        {
            "days_expired": len(report.expired),
            "days_kept": {day.isoformat(): why for day, why in report.kept.items()},
            "rows": report.rows,
        }
    )


@dg.job(name=RECONCILE_JOB, executor_def=dg.in_process_executor)
def reconcile_lake() -> None:
    """Every night: what a refresh was not told of is found and repaired, and the lake is tidied."""
    keep_up_op(start=reconcile_op())


@dg.job(name=RETAIN_JOB, executor_def=dg.in_process_executor)
def retain_events() -> None:
    """Removes raw events older than PROMPT_STATS_RETAIN_DAYS from Postgres; no number changes."""
    retain_op()


@dg.asset_check(
    asset=TABLE, description="Each post that was made from a prompt, and is an hour old, has its event."
)
def posts_have_events(
    context: dg.AssetCheckExecutionContext, stores: dg.ResourceParam[Stores]
) -> dg.AssetCheckResult:
    """Compares the posts with the events; prompt-stats track-missing appends what is missing."""
    with step(context, stores) as database:
        with database.engine.connect() as connection:
            is_published = source.latest_refresh(connection) is not None
        if not is_published:
            # Dagster runs it in the first backfill of all, too, and a failure would be the run's.
            return dg.AssetCheckResult(passed=True, metadata={"posts": 0, "why": "nothing is published yet"})
        report = coverage.look_for_missing(database, stores.lake)
    times = {"first_at": report.first_at, "last_at": report.last_at}
    return dg.AssetCheckResult(
        passed=not report.missing,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "posts": report.posts,
            "posts_without_event": report.missing,
            **{name: dg.MetadataValue.timestamp(at) for name, at in times.items() if at},
        },
    )


check_coverage = dg.define_asset_job(
    COVERAGE_JOB,
    selection=dg.AssetSelection.checks(posts_have_events),
    executor_def=dg.in_process_executor,
    description="Looks for posts that no event is about.",
)

check_coverage_schedule = dg.ScheduleDefinition(
    name="check_coverage_schedule",
    job=check_coverage,
    cron_schedule="43 3 * * *",
    execution_timezone="UTC",
    tags={REASON: NIGHTLY},
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

reconcile_lake_schedule = dg.ScheduleDefinition(
    name="reconcile_lake_schedule",
    job=reconcile_lake,
    # At night, and not on the minutes at which the refresh starts.
    cron_schedule="23 3 * * *",
    execution_timezone="UTC",
    tags={REASON: NIGHTLY},
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


@dg.schedule(
    name="retain_events_schedule",
    job=retain_events,
    cron_schedule="23 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def retain_events_schedule(
    stores: dg.ResourceParam[Stores],
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Every night, after the reconciliation, if PROMPT_STATS_RETAIN_DAYS is set."""
    if stores.retain_days is None:
        yield dg.SkipReason("Raw events are kept for ever; set PROMPT_STATS_RETAIN_DAYS to remove old ones.")
        return
    config = RetainConfig(days=stores.retain_days)
    yield dg.RunRequest(
        run_config={"ops": {"retain": {"config": config.model_dump()}}}, tags={REASON: NIGHTLY}
    )
