"""Dagster forgets old runs, and the UI calls no partition missing for it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg

from pipeline.orchestration.forgetting import forget

DAYS = dg.DailyPartitionsDefinition("2026-01-01")


@dg.asset(partitions_def=DAYS)
def of_a_day() -> None:
    """A partitioned asset."""


@dg.asset
def of_all_days() -> None:
    """One without partitions."""


def test_the_last_run_of_each_partition_stays(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        runs = [
            dg.materialize([of_a_day], instance=instance, partition_key=day).run_id
            for day in ("2026-01-01", "2026-01-01", "2026-01-02")
        ]
        runs += [dg.materialize([of_all_days], instance=instance).run_id for _ in range(2)]
        now = dt.datetime.now(dt.UTC)

        assert forget(instance, now - dt.timedelta(hours=1)) == 0
        assert forget(instance, now) == 2
        assert [instance.has_run(run) for run in runs] == [False, True, True, False, True]
        assert instance.get_materialized_partitions(dg.AssetKey("of_a_day")) == {"2026-01-01", "2026-01-02"}
