"""The job ``refresh_stats``, and the schedule that launches it for the stale days."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from pipeline.database.tables import STATS_TABLES, VALUE_TABLES, prompts, stats_alerts, user_prompt_stats
from pipeline.days import DayRange, contiguous_ranges
from pipeline.lake.partials import USAGE, USERS
from pipeline.lake.usage_events import TABLE
from pipeline.orchestration.checks import stats_checks
from pipeline.orchestration.lake_assets import EVERY_DAY_PROCESSED, SyncConfig
from pipeline.orchestration.reporting import stats_report
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import MANUAL, NIGHTLY, REASON, TICK
from pipeline.orchestration.stats_assets import PUBLISH, PublishConfig
from pipeline.refresh import Plan, Reason, plan_refresh

JOB = "refresh_stats"
SCHEDULE = "refresh_stats_schedule"
VALUES_JOB = "count_values"

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

BY_DAY = {dg.AssetKey(name) for name in (TABLE, USAGE.daily)}
"""The assets whose steps report days that they could not process. Other checks have their own schedules."""

MAX_RUNTIME = "dagster/max_runtime"
MAX_TICK_SECONDS = 3600
"""After this time, run monitoring fails a run of the schedule: its process died with the machine, and nobody
told Dagster. What a longer run has committed stays, and the next run continues from there."""
UNLIMITED = "0"
"""The ``MAX_RUNTIME`` of a run that somebody waits for, and of a run over the whole history, whose publish
the next run would have to start again. If its process dies, ``fail_dead_runs`` notices."""

BRIDGED_DAYS = 7
"""A range includes gaps up to this length: a day without news costs some 50 ms, a run costs seconds."""

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

refresh_stats = dg.define_asset_job(
    JOB,
    # Checks that are not part of an asset have their own jobs. So do the report and the alerts.
    selection=dg.AssetSelection.all()
    - dg.AssetSelection.checks(stats_checks)
    - dg.AssetSelection.assets(stats_report, stats_alerts.name),
    # Each step takes a few seconds. A process per step would cost more than the work.
    executor_def=dg.in_process_executor,
    description="Brings a range of days of the lake up to date, recomputes their partials, and publishes the"
    " stats.",
)

count_values = dg.define_asset_job(
    VALUES_JOB,
    selection=[table.name for table in VALUE_TABLES],
    executor_def=dg.in_process_executor,
    description="Counts users, percentiles and periods by scene, environment and outfit. They can't be summed"
    " over days, so this job reads all raw events.",
)

count_values_schedule = dg.ScheduleDefinition(
    name="count_values_schedule",
    job=count_values,
    # It reads all raw events, so it runs once per day. Refreshes do not wait for it.
    cron_schedule="3 4 * * *",
    execution_timezone="UTC",
    tags={REASON: NIGHTLY},
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def range_tags(days: DayRange, reason: str = MANUAL) -> dict[str, str]:
    """The tags that make a run of the job cover a range of days, and say why."""
    return {RANGE_START: days.first.isoformat(), RANGE_END: days.last.isoformat(), REASON: reason}


def run_config(
    *, replace: bool, users: bool = True, max_rows_per_second: int | None = None
) -> dict[str, object]:
    """The run configuration: whether whole days are read again, how fast, and whether users are published."""
    sync = SyncConfig(replace=replace, max_rows_per_second=max_rows_per_second)
    return {
        "ops": {
            TABLE: {"config": sync.model_dump()},
            PUBLISH: {"config": PublishConfig(users=users).model_dump()},
        }
    }


def stale_ranges(plan: Plan, stores: Stores) -> list[DayRange]:
    """The ranges of days that a refresh has to cover, or today if nothing is stale.

    Even without new events a refresh updates ``as_of``. Favourites, new prompts and the windows of 7 and 30
    days change without events, too.
    """
    today = max(plan.snapshot.taken_at.date(), stores.settings.start_date)
    days = set(plan.days)
    # These take one run: nothing is published while a published day is missing, nor a part of the history.
    together = [day for day, reason in plan.reasons.items() if plan.is_first or reason is Reason.REPAIR]
    if together:
        days |= set(DayRange(together[0], together[-1]).days())
    return contiguous_ranges(days or [today], BRIDGED_DAYS)


def reason_of(plan: Plan, days: DayRange) -> str:
    """Why a run over the range was launched: the most important reason of its days."""
    order = list(Reason)
    reasons = {reason for day, reason in plan.reasons.items() if days.first <= day <= days.last}
    weightiest = max(reasons, key=order.index, default=Reason.NEW_DATA)
    return TICK if weightiest is Reason.NEW_DATA else str(weightiest)


def keys_of_tick(*, users: bool) -> set[dg.AssetKey]:
    """The assets that a tick of the schedule brings up to date, once per hour with those of users.

    ``user_prompt_stats`` belongs to the one step that publishes. The step skips it unless its configuration
    says ``users``.
    """
    names = [TABLE, USAGE.daily, USAGE.monthly, USAGE.total]
    names += [*(table.name for table in STATS_TABLES), prompts.name, user_prompt_stats.name]
    if users:
        names += [USERS.monthly, USERS.total]
    return {dg.AssetKey(name) for name in names}


@dg.schedule(
    name=SCHEDULE,
    job=refresh_stats,
    # Stats that are five minutes old are fresh enough, and a tick without news is cheap.
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    execution_timezone="UTC",
)
def refresh_stats_schedule(
    context: dg.ScheduleEvaluationContext, stores: dg.ResourceParam[Stores]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Starts a run for each range of stale days every five minutes, and includes users' stats every hour."""
    # An older run died unnoticed, or works on a long range. Then the locks in the database keep order.
    since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=MAX_TICK_SECONDS)
    under_way = (
        RunsFilter(job_name=JOB, statuses=UNFINISHED, created_after=since),
        RunsFilter(job_name=JOB, statuses=[DagsterRunStatus.STARTED], tags={MAX_RUNTIME: UNLIMITED}),
    )
    if any(context.instance.get_runs(each, limit=1) for each in under_way):
        yield dg.SkipReason("A refresh is still running. The next tick takes what it leaves.")
        return
    plan = plan_refresh(stores.installation)
    ranges = stale_ranges(plan, stores)
    for days in ranges:
        reason = reason_of(plan, days)
        is_whole_history = plan.is_first or reason == Reason.REPAIR
        longest = UNLIMITED if is_whole_history else str(MAX_TICK_SECONDS)
        users = plan.users and days is ranges[-1]
        keys = keys_of_tick(users=users)
        # The tick is part of the key, since Dagster launches only one run per key.
        yield dg.RunRequest(
            run_key=f"{context.scheduled_execution_time.isoformat()} {days.first} {days.last}",
            tags={**range_tags(days, reason), MAX_RUNTIME: longest},
            run_config=run_config(replace=False, users=users),
            asset_selection=sorted(keys),
            # Otherwise every check of these assets would run, too.
            asset_check_keys=[dg.AssetCheckKey(key, EVERY_DAY_PROCESSED) for key in sorted(keys & BY_DAY)],
        )
