"""The job ``refresh_stats``, and the schedule that launches it for the stale days."""

from collections.abc import Iterator

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from pipeline.days import DayRange, contiguous_ranges
from pipeline.lake.partials import USAGE, USERS
from pipeline.lake.usage_events import TABLE
from pipeline.orchestration.assets import SyncConfig
from pipeline.orchestration.keeping import posts_have_events
from pipeline.orchestration.reporting import stats_report
from pipeline.orchestration.resources import Stores
from pipeline.refresh import Plan, plan_refresh
from pipeline.tables import STATS_TABLES, prompt_value_stats, prompts, stats_alerts, user_prompt_stats

JOB = "refresh_stats"
SCHEDULE = "refresh_stats_schedule"
VALUES_JOB = "count_values"

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

refresh_stats = dg.define_asset_job(
    JOB,
    # Checks that are not part of an asset have a job of their own, and so have the report and the alerts.
    selection=dg.AssetSelection.all()
    - dg.AssetSelection.checks(posts_have_events)
    - dg.AssetSelection.assets(stats_report, stats_alerts.name),
    # The steps are calls of a few seconds: a process each would cost more than the work.
    executor_def=dg.in_process_executor,
    description="Brings some days of the lake up to date, recomputes their partials, publishes the stats.",
)

count_values = dg.define_asset_job(
    VALUES_JOB,
    selection=[prompt_value_stats.name],
    executor_def=dg.in_process_executor,
    description="Counts by scene, environment and outfit what does not add up from day to day.",
)

count_values_schedule = dg.ScheduleDefinition(
    name="count_values_schedule",
    job=count_values,
    # It reads all raw events, so once a day; beside the refreshes, which don't wait for it.
    cron_schedule="3 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def range_tags(days: DayRange) -> dict[str, str]:
    """The tags that make a run of the job cover a range of days."""
    return {RANGE_START: days.first.isoformat(), RANGE_END: days.last.isoformat()}


def run_config(*, replace: bool) -> dict[str, object]:
    """The run configuration: whether days are read again whole."""
    return {"ops": {TABLE: {"config": SyncConfig(replace=replace).model_dump()}}}


def stale_ranges(plan: Plan, stores: Stores) -> list[DayRange]:
    """The ranges of days that a refresh has to cover; today, when nothing is stale.

    With nothing new a refresh still has something to say: as of when. And favourites, new prompts and
    the windows of 7 and 30 days change without events.
    """
    today = max(plan.snapshot.taken_at.date(), stores.first_day)
    return contiguous_ranges(plan.days or [today])


def keys_of_tick(*, users: bool) -> list[dg.AssetKey]:
    """The assets that a tick of the schedule brings up to date: every few minutes, or with users hourly."""
    names = [TABLE, USAGE.daily, USAGE.monthly, USAGE.total]
    names += [*(table.name for table in STATS_TABLES), prompts.name]
    if users:
        names += [USERS.daily, USERS.monthly, USERS.total, user_prompt_stats.name]
    return [dg.AssetKey(name) for name in names]


@dg.schedule(
    name=SCHEDULE,
    job=refresh_stats,
    # Five minutes: a stats page that is this old is fresh enough, and a tick with nothing new is cheap.
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    execution_timezone="UTC",
)
def refresh_stats_schedule(
    context: dg.ScheduleEvaluationContext, stores: dg.ResourceParam[Stores]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Every five minutes: one run for each contiguous range of stale days; every hour the users' stats."""
    if context.instance.get_runs(RunsFilter(job_name=JOB, statuses=UNFINISHED), limit=1):
        yield dg.SkipReason("A refresh is still under way; the next tick takes what it leaves.")
        return
    plan = plan_refresh(stores.database, stores.lake, stores.first_day)
    ranges = stale_ranges(plan, stores)
    for days in ranges:
        users = plan.users and days is ranges[-1]
        # The tick is in the key: Dagster never again launches a run whose key was used once.
        yield dg.RunRequest(
            run_key=f"{context.scheduled_execution_time.isoformat()} {days.first} {days.last}",
            tags=range_tags(days),
            run_config=run_config(replace=False),
            asset_selection=keys_of_tick(users=users),
        )
