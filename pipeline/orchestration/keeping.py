"""The nightly jobs ``reconcile_lake`` and ``retain_events``. The second one is off by default."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from pipeline.adoption.schema import make_partitions
from pipeline.lake import upkeep
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import require_confirmed, retain
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import NIGHTLY, REASON, WRITERS, step

RECONCILE_JOB = "reconcile_lake"
RETAIN_JOB = "retain_events"


class RetainConfig(dg.Config):
    """What a launch has to confirm. Nothing is removed unless both values are still right when it runs."""

    days: int = Field(
        description="How many days of raw events stay in Postgres, including today: the present value of"
        " PROMPT_STATS_RETAIN_DAYS."
    )
    database: str = Field(description="The database whose rows are removed, as host:port/name.")


@dg.op(name="reconcile", out=dg.Out(dg.Nothing), pool=WRITERS)
def reconcile_op(context: dg.OpExecutionContext, stores: dg.ResourceParam[Stores]) -> None:
    """Compares the lake with Postgres and the stats with the lake, and repairs what differs."""
    with step(context, stores) as installation:
        report = reconcile(
            installation,
            lambda done, total: context.log.info(f"{done} of {total} months compared"),
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
        raise dg.Failure("The lake lost expired days. Restore them from its backup", allow_retries=False)


@dg.op(name="keep_up", ins={"start": dg.In(dg.Nothing)}, pool=WRITERS)
def keep_up_op(context: dg.OpExecutionContext, stores: dg.ResourceParam[Stores]) -> None:
    """Joins small files, deletes files that were replaced over a week ago, and creates partitions ahead."""
    with step(context, stores) as installation:
        report = upkeep.keep_up(installation)
        made = make_partitions(installation.database)
    context.add_output_metadata(
        {"files_joined": report.files_joined, "files_deleted": report.files_deleted, "partitions_made": made}
    )


@dg.op(name="retain", pool=WRITERS)
def retain_op(context: dg.OpExecutionContext, config: RetainConfig, stores: dg.ResourceParam[Stores]) -> None:
    """Removes old raw events from Postgres if the lake has them."""
    with step(context, stores) as installation:
        # The launch may come from another page, a copy of this Dagster, or a run of last year executed again.
        require_confirmed(
            config.days,
            config.database,
            configured_days=stores.retain_days,
            actual_address=installation.database.address(),
        )
        report = retain(
            installation,
            config.days,
            lambda done, total: context.log.info(f"{done:,} of {total:,} raw events removed"),
        )
    context.add_output_metadata(
        {
            "days_expired": len(report.expired),
            "days_kept": {day.isoformat(): why for day, why in report.kept.items()},
            "rows": report.rows,
            "rows_kept": report.rows_kept,
            "partitions_dropped": report.dropped,
        }
    )


@dg.job(name=RECONCILE_JOB, executor_def=dg.in_process_executor)
def reconcile_lake() -> None:
    """Finds and repairs changes that no refresh noticed, and tidies the lake, every night."""
    keep_up_op(start=reconcile_op())


@dg.job(name=RETAIN_JOB, executor_def=dg.in_process_executor)
def retain_events() -> None:
    """Removes raw events older than PROMPT_STATS_RETAIN_DAYS from Postgres. No number changes.

    A launch names the days and the database. It is refused if either has changed since.
    """
    retain_op()


reconcile_lake_schedule = dg.ScheduleDefinition(
    name="reconcile_lake_schedule",
    job=reconcile_lake,
    # It runs at night, and not in the minutes in which the refresh starts.
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
    """Runs every night after the reconciliation, if PROMPT_STATS_RETAIN_DAYS is set."""
    if stores.retain_days is None:
        yield dg.SkipReason("Raw events are kept forever. Set PROMPT_STATS_RETAIN_DAYS to remove old ones.")
        return
    config = RetainConfig(days=stores.retain_days, database=stores.database.address())
    yield dg.RunRequest(
        run_config={"ops": {"retain": {"config": config.model_dump()}}}, tags={REASON: NIGHTLY}
    )
