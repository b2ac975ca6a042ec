"""What Dagster loads: the code location ``pipeline``."""

from __future__ import annotations

import warnings

import dagster as dg

from pipeline.files import keep_private
from pipeline.orchestration.alerting import (
    evaluate_alerts,
    evaluate_alerts_schedule,
    run_failures,
    stats_alerts,
)
from pipeline.orchestration.assets import build_assets
from pipeline.orchestration.checks import (
    check_stats,
    check_stats_nightly,
    check_stats_nightly_schedule,
    check_stats_schedule,
    stats_checks,
    with_freshness,
)
from pipeline.orchestration.dead_runs import fail_dead_runs
from pipeline.orchestration.forgetting import forget_runs, forget_runs_schedule
from pipeline.orchestration.jobs import (
    count_values,
    count_values_schedule,
    refresh_stats,
    refresh_stats_schedule,
)
from pipeline.orchestration.keeping import (
    reconcile_lake,
    reconcile_lake_schedule,
    retain_events,
    retain_events_schedule,
)
from pipeline.orchestration.reporting import stats_report, write_report_job, write_report_schedule
from pipeline.orchestration.resources import Stores
from pipeline.settings import settings


def build_definitions(stores: Stores) -> dg.Definitions:
    """The definitions for the given stores. Tests pass their own."""
    with warnings.catch_warnings():
        # backfill_policy is marked beta. Without one run per range, a year's backfill would take too long.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = build_assets(
            stores.settings.start_date,
            stats_report,
            stats_alerts,
            days_per_run=stores.days_per_run,
            write_back=stores.write_back,
        )
    return dg.Definitions(
        assets=with_freshness(assets, write_back=stores.write_back),
        asset_checks=[stats_checks],
        jobs=[
            refresh_stats,
            count_values,
            reconcile_lake,
            check_stats,
            check_stats_nightly,
            retain_events,
            write_report_job,
            forget_runs,
            evaluate_alerts,
        ],
        schedules=[
            refresh_stats_schedule,
            count_values_schedule,
            reconcile_lake_schedule,
            check_stats_schedule,
            check_stats_nightly_schedule,
            retain_events_schedule,
            write_report_schedule,
            forget_runs_schedule,
            evaluate_alerts_schedule,
        ],
        sensors=[fail_dead_runs, run_failures],
        resources={"stores": stores},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions for the environment, built when Dagster asks for them."""
    # Dagster loads them in a process of ours: a code server or a run.
    keep_private()
    return build_definitions(Stores(settings()))
