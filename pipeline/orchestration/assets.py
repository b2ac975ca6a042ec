"""All assets, with links to their sources."""

import datetime as dt

import dagster as dg

from pipeline.orchestration.lake_assets import lake_assets
from pipeline.orchestration.sources import source_specs
from pipeline.orchestration.stats_assets import stats_assets


def build_assets(
    first_day: dt.date, *others: dg.AssetsDefinition, days_per_run: int | None, write_back: bool
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """All assets, for the days from ``first_day`` on, and the app's tables that they are made from.

    ``others``: assets that are made from the stats on their own schedules. ``days_per_run``: how many days a
    run of a backfill takes; None: all. ``write_back``: whether the counters in ``prompts`` are written.

    The links lead to the files of this installation, which are found when the definitions are loaded.
    """
    made = [*lake_assets(first_day, days_per_run), *stats_assets(write_back=write_back), *others]
    linked = dg.with_source_code_references(made)
    return [*source_specs(), *(each for each in linked if isinstance(each, dg.AssetsDefinition))]
