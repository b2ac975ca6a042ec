"""The checks of ``pipeline/health/checks`` as asset checks, their jobs, and freshness policies."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from pipeline import formats
from pipeline.database.tables import STATS_TABLES, VALUE_TABLES, prompts, user_prompt_stats
from pipeline.health.checks.catalog import CHECKS, make_all
from pipeline.health.checks.report import Cadence, Check, Report
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import NIGHTLY, REASON, TICK

JOB = "check_stats"
NIGHTLY_JOB = "check_stats_nightly"

EVERY_TICK = dg.FreshnessPolicy.time_window(
    warn_window=dt.timedelta(minutes=15), fail_window=dt.timedelta(minutes=30)
)
EVERY_HOUR = dg.FreshnessPolicy.time_window(
    warn_window=dt.timedelta(hours=2), fail_window=dt.timedelta(hours=3)
)
EVERY_NIGHT = dg.FreshnessPolicy.time_window(
    warn_window=dt.timedelta(hours=26), fail_window=dt.timedelta(hours=36)
)
PROMPTS = dg.AssetKey(prompts.name)
POLICIES = {
    **{dg.AssetKey(table.name): EVERY_TICK for table in STATS_TABLES},
    PROMPTS: EVERY_TICK,
    dg.AssetKey(user_prompt_stats.name): EVERY_HOUR,
    dg.AssetKey("stats_report"): EVERY_HOUR,
    **{dg.AssetKey(table.name): EVERY_NIGHT for table in VALUE_TABLES},
}
"""When Dagster calls an asset late. It looks at materializations; ``stats_are_fresh`` looks at the data."""


def with_freshness(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec], *, write_back: bool
) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """Gives each asset the freshness policy of its schedule, except ``prompts`` if write-back is off."""

    def of_schedule(spec: dg.AssetSpec) -> dg.AssetSpec:
        policy = POLICIES.get(spec.key) if write_back or spec.key != PROMPTS else None
        return dg.apply_freshness_policy(spec, policy) if policy else spec

    return dg.map_asset_specs(of_schedule, assets)


def _key(check: Check) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey(check.asset), check.name)


@dg.multi_asset_check(
    name="check",
    # One step makes all checks, since a step per check would take longer than the checks.
    specs=[
        dg.AssetCheckSpec(
            check.name,
            asset=check.asset,
            description=f"{check.compares}\n\nIf it fails: {check.remedy}",
            metadata={"cadence": check.cadence.value, "severity": check.severity.value},
        )
        for check in CHECKS
    ],
    can_subset=True,
)
def stats_checks(
    context: dg.AssetCheckExecutionContext, stores: dg.ResourceParam[Stores]
) -> Iterator[dg.AssetCheckResult]:
    """Makes the selected checks."""
    with stores.installation_of_run(context.run.run_id) as installation:
        selected = [check for check in CHECKS if _key(check) in context.selected_asset_check_keys]
        for check, report in make_all(installation, selected):
            yield _result(check, report)


def _result(check: Check, report: Report) -> dg.AssetCheckResult:
    worst = _table(report.worst)
    return dg.AssetCheckResult(
        asset_key=check.asset,
        check_name=check.name,
        passed=report.passed,
        severity=dg.AssetCheckSeverity(check.severity.value),
        description=report.summary if report.passed else f"{report.summary}. {check.remedy}",
        metadata={
            **{name: _value(value) for name, value in report.figures.items() if value is not None},
            **({"worst": dg.MetadataValue.md(worst)} if worst else {}),
        },
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    cells = ([formats.markdown(formats.shown(value)) for value in row.values()] for row in rows)
    return formats.markdown_table([*rows[0]], cells)


def _value(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return dg.MetadataValue.timestamp(value)
    return value.isoformat() if isinstance(value, dt.date) else value


def _job(name: str, cadence: Cadence, description: str) -> Any:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.checks(*(_key(check) for check in CHECKS if check.cadence is cadence)),
        executor_def=dg.in_process_executor,
        description=description,
    )


check_stats = _job(
    JOB, Cadence.HOURLY, "Makes the checks that cost little: they read ledgers and recent rows."
)
check_stats_nightly = _job(NIGHTLY_JOB, Cadence.NIGHTLY, "Makes the checks that read the history.")

check_stats_schedule = dg.ScheduleDefinition(
    name="check_stats_schedule",
    job=check_stats,
    # A separate job, so that no refresh takes longer, and between two ticks of the refresh.
    cron_schedule="37 * * * *",
    execution_timezone="UTC",
    tags={REASON: TICK},
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

check_stats_nightly_schedule = dg.ScheduleDefinition(
    name="check_stats_nightly_schedule",
    job=check_stats_nightly,
    # After the night's reconciliation, retention and counts by value.
    cron_schedule="52 4 * * *",
    execution_timezone="UTC",
    tags={REASON: NIGHTLY},
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
