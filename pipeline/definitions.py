"""What Dagster loads: the code location ``pipeline``."""

from __future__ import annotations

import warnings

import dagster as dg

from pipeline.orchestration.alerting import (
    evaluate_alerts,
    evaluate_alerts_schedule,
    run_failures,
    stats_alerts,
)
from pipeline.orchestration.assets import build_assets
from pipeline.orchestration.jobs import (
    count_values,
    count_values_schedule,
    refresh_stats,
    refresh_stats_schedule,
)
from pipeline.orchestration.keeping import (
    check_coverage,
    check_coverage_schedule,
    posts_have_events,
    reconcile_lake,
    reconcile_lake_schedule,
    retain_events,
    retain_events_schedule,
)
from pipeline.orchestration.reporting import stats_report, write_report_job, write_report_schedule
from pipeline.orchestration.resources import Stores
from pipeline.settings import settings


def build_definitions(stores: Stores) -> dg.Definitions:
    """The definitions over the given stores; tests hand in their own."""
    with warnings.catch_warnings():
        # backfill_policy is marked beta; a range as one run is what makes a year's backfill bearable.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = build_assets(stores.first_day)
    return dg.Definitions(
        assets=[*assets, stats_report, stats_alerts],
        asset_checks=[posts_have_events],
        jobs=[
            refresh_stats,
            count_values,
            reconcile_lake,
            check_coverage,
            retain_events,
            write_report_job,
            evaluate_alerts,
        ],
        schedules=[
            refresh_stats_schedule,
            count_values_schedule,
            reconcile_lake_schedule,
            check_coverage_schedule,
            retain_events_schedule,
            write_report_schedule,
            evaluate_alerts_schedule,
        ],
        sensors=[run_failures],
        resources={"stores": stores},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions as the environment configures them; built when Dagster asks for them."""
    return build_definitions(Stores(settings()))
