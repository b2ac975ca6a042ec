"""The lake's tables as assets: raw events and their partials, by day, by month and in total."""

import datetime as dt
import time
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl
from dagster import DagsterEventType
from pydantic import PositiveInt

from pipeline import repair
from pipeline.database.queries import query
from pipeline.database.tables import prompt_stats, prompt_usage
from pipeline.lake import partials, periods, usage_events
from pipeline.lake.flow import Progress, now_and_then
from pipeline.lake.partials import USAGE, USERS, DailyRollup, Rollup
from pipeline.orchestration import showing
from pipeline.orchestration.explaining import Upstream, explained, purpose
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import WRITERS, step
from pipeline.orchestration.sources import observed_usage
from pipeline.refresh import raise_failed
from pipeline.stats.rates import TIME_SUMS

EVENTS_GROUP = "events"
PARTIALS_GROUP = "partials"
USERS_GROUP = "users"
LAKE = {"deltalake"}
EACH_TICK = "every-5-minutes"
HOURLY = "hourly"

EVERY_DAY_PROCESSED = "every_day_processed"

OF_EVENTS = {
    "usage_count": ["id"],
    "success_count": ("success",),
    "failure_count": ("success",),
    **dict.fromkeys(
        ["timed_count", *TIME_SUMS, "generation_time_ms_min", "generation_time_ms_max"],
        ("generation_time_ms",),
    ),
    "first_used_at": ("created_at",),
    "last_used_at": ("created_at",),
}
"""The columns of the raw events that each column of the partials is made from."""
OF_USAGE = {**OF_EVENTS, "value": ("scene", "environment", "outfit", "error_message", "generation_time_ms")}
OF_USERS = {**OF_EVENTS, "value": ("user_id",)}


class SyncConfig(dg.Config):
    """How ``usage_events`` brings a day up to date.

    ``replace``: read the whole day again, as a backfill should. Otherwise only new rows are read, and the day
    is replaced only if raw rows were updated or deleted. ``max_rows_per_second``: the throttle.
    """

    replace: bool = True
    max_rows_per_second: PositiveInt | None = None


def daily_partitions(first_day: dt.date) -> dg.DailyPartitionsDefinition:
    """One partition per day (UTC), from ``first_day`` to tomorrow, since a producer's clock may be ahead."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC", end_offset=2)


def lake_assets(first_day: dt.date, days_per_run: int | None) -> list[dg.AssetsDefinition]:
    """The lake's assets, for the days from ``first_day`` on.

    ``days_per_run``: how many days one run of a backfill takes. None: all of them.
    """
    partitions = daily_partitions(first_day)
    policy = dg.BackfillPolicy(days_per_run)

    @dg.multi_asset(
        name=usage_events.TABLE,
        specs=[
            explained(
                usage_events.TABLE,
                [Upstream(prompt_usage.name, {"day": ("created_at",)})],
                group=EVENTS_GROUP,
                kinds=LAKE | {"postgres"},
                pace=EACH_TICK,
                description="The raw events of `prompt_usage` in the lake, with one partition per day.",
                code=[query("lake/usage_events"), str(usage_events.SCHEMA)],
            )
        ],
        check_specs=[_days_check(usage_events.TABLE)],
        pool=WRITERS,
        partitions_def=partitions,
        backfill_policy=policy,
    )
    def usage_events_asset(
        context: dg.AssetExecutionContext, config: SyncConfig, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        days = _days(context)
        started = time.perf_counter()
        log_progress = now_and_then(lambda progress: context.log.info(str(progress)))

        def on_progress(progress: Progress) -> None:
            stores.progress(progress)
            log_progress(progress)

        with step(context, stores) as installation:
            report = usage_events.sync_days(
                installation,
                days,
                replace=config.replace,
                progress=on_progress,
                max_rows_per_second=config.max_rows_per_second,
            )
            held = report.held
            watermark: dict[str, Any] = {
                "watermark": report.snapshot.high,
                "as_of": dg.MetadataValue.timestamp(report.snapshot.as_of),
                "lag_seconds": (report.snapshot.taken_at - report.snapshot.as_of).total_seconds(),
            }
            usage = {"rows_in_lake": int(held["usage_count"].sum()), "rows_read": report.rows, **watermark}
            if report.rows:
                context.log_event(observed_usage(installation.database, usage, report.snapshot.taken_at))
        closed = [day for day in days if day > report.snapshot.open_until]
        if closed:
            context.log.warning(
                f"{closed[0]} to {closed[-1]} are in the future by the database's clock. Events are held back"
                f" until their day is at most one day ahead. At present that is {report.snapshot.open_until}"
            )
        arrived = report.appended | report.replaced
        _add_days(context, days, held, {day: {"rows_in": arrived.get(day, 0)} for day in days})
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": int(held["usage_count"].sum()),
                "rows_in": report.rows,
                "days_appended": len(report.appended),
                "days_replaced": len(report.replaced),
                "days_not_open": len(closed),
                "days_repaired": _repaired(context, stores, report.repaired),
                **watermark,
                "seconds": round(time.perf_counter() - started, 3),
            },
            check_results=[_days_processed(report.failed)],
        )
        raise_in_last_step(context, USAGE.daily, prompt_stats.name)

    @dg.multi_asset(
        name=USAGE.daily,
        specs=[
            explained(
                USAGE.daily,
                [Upstream(usage_events.TABLE, OF_USAGE)],
                group=PARTIALS_GROUP,
                kinds=LAKE | {"duckdb"},
                pace=EACH_TICK,
                description=purpose(f"engine/{USAGE.query}"),
                code=[str(USAGE.version)],
            )
        ],
        check_specs=[_days_check(USAGE.daily)],
        pool=WRITERS,
        partitions_def=partitions,
        backfill_policy=policy,
    )
    def prompt_usage_daily_asset(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        days = _days(context)
        started = time.perf_counter()
        with step(context, stores) as installation:
            report = repair.roll_up(installation, days)
        _add_days(context, days, report.held, {})
        yield dg.MaterializeResult(
            metadata=_rolled_up(context, stores, report, started),
            check_results=[_days_processed(report.failed)],
        )
        raise_in_last_step(context, prompt_stats.name)

    @dg.multi_asset(name="settle_usage", specs=_period_specs(USAGE, PARTIALS_GROUP, EACH_TICK), pool=WRITERS)
    def usage_periods(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with step(context, stores) as installation:
            months = repair.settled(installation, USAGE)
        yield from _settled(stores, USAGE, months)

    @dg.multi_asset(name="settle_users", specs=_period_specs(USERS, USERS_GROUP, HOURLY), pool=WRITERS)
    def user_periods(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with step(context, stores) as installation:
            months = repair.settled(installation, USERS)
        yield from _settled(stores, USERS, months)

    return [usage_events_asset, prompt_usage_daily_asset, usage_periods, user_periods]


def _period_specs(rollup: Rollup, group: str, pace: str) -> list[dg.AssetSpec]:
    """The partials by month, and the total of all months."""
    days = (
        Upstream(rollup.daily) if isinstance(rollup, DailyRollup) else Upstream(usage_events.TABLE, OF_USERS)
    )
    return [
        explained(
            name,
            [upstream],
            group=group,
            kinds=LAKE | {"duckdb"},
            pace=pace,
            description=purpose("engine/merged_partials"),
            code=[str(rollup.version), query("engine/merged_partials")],
        )
        for name, upstream in ((rollup.monthly, days), (rollup.total, Upstream(rollup.monthly)))
    ]


def _days_check(asset: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        EVERY_DAY_PROCESSED,
        asset=asset,
        description="Every day of the run could be processed. A day that could not stays stale, and the next"
        " refresh tries it again. The other days are published.",
    )


def _days_processed(failed: Mapping[dt.date, str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=EVERY_DAY_PROCESSED,
        passed=not failed,
        metadata={day.isoformat(): reason for day, reason in failed.items()},
    )


def failed_days(instance: dg.DagsterInstance, run_id: str) -> dict[dt.date, str]:
    """The days that the steps of a run could not process, and why."""
    failed: dict[dt.date, str] = {}
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
        check = entry.asset_check_evaluation
        if check and check.check_name == EVERY_DAY_PROCESSED:
            failed |= {dt.date.fromisoformat(day): str(why.value) for day, why in check.metadata.items()}
    return failed


def raise_in_last_step(context: dg.AssetExecutionContext, *later: str) -> None:
    """Fails the run if it could not process some days, and no step of the ``later`` assets follows.

    Otherwise a later step fails it: failing here would keep the other days from being published.

    :raises LakeError: some days could not be processed.
    """
    selected = context.run.asset_selection
    if not later or (selected and not selected & {dg.AssetKey(name) for name in later}):
        raise_failed(failed_days(context.instance, context.run.run_id))


def _repaired(
    context: dg.AssetExecutionContext, stores: Stores, days: Mapping[dt.date, str]
) -> dict[str, str]:
    """Logs the days whose damaged files were repaired, and returns them as metadata."""
    for day, why in days.items():
        context.log.warning(f"{why}; {day} was repaired")
    stores.repaired.update(days)
    return {day.isoformat(): why for day, why in sorted(days.items())}


def _rolled_up(
    context: dg.AssetExecutionContext, stores: Stores, report: partials.RollupReport, started: float
) -> dict[str, Any]:
    return {
        "dagster/row_count": int(report.held["usage_count"].sum()),
        "rows_out": report.rows,
        "rows_in": report.events,
        "days_recomputed": len(report.days),
        "days_repaired": _repaired(context, stores, report.repaired),
        "bytes_of_table": int(report.held["bytes"].sum()),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _settled(stores: Stores, rollup: Rollup, months: list[dt.date]) -> Iterator[dg.MaterializeResult[None]]:
    for name, table in zip(
        (rollup.monthly, rollup.total),
        # This happens once per day. Opening them each time would take longer than finding nothing to do.
        periods.open_periods(stores.lake, rollup) if months else (None, None),
        strict=True,
    ):
        metadata: dict[str, Any] = {"months_recomputed": len(months)}
        if table:
            metadata["dagster/row_count"] = int(table.days()["usage_count"].sum())
            metadata["bytes_of_table"] = int(table.days()["bytes"].sum())
        yield dg.MaterializeResult(asset_key=name, metadata=metadata)


def _add_days(
    context: dg.AssetExecutionContext,
    days: list[dt.date],
    held: pl.DataFrame,
    of_days: Mapping[dt.date, Mapping[str, Any]],
) -> None:
    """Adds what the table holds of each day, from its log, and a preview and chart to the last event."""
    wanted = held.filter(pl.col("day").is_in(days))
    figures = {
        day: figures for day, *figures in wanted.select("day", "usage_count", "bytes", "files").iter_rows()
    }
    for day in days:
        count, size, files = figures.get(day, (0, 0, 0))
        metadata = {"dagster/partition_row_count": count, "bytes": size, "files": files}
        context.add_asset_metadata({**metadata, **of_days.get(day, {})}, partition_key=day.isoformat())
    context.add_asset_metadata(
        {
            "preview": showing.preview(
                held.select("day", pl.col("usage_count").alias("rows"), "bytes", "files").reverse()
            ),
            "chart": showing.chart(held["usage_count"].to_list(), "Rows by day"),
        },
        partition_key=days[-1].isoformat(),
    )


def _days(context: dg.AssetExecutionContext) -> list[dt.date]:
    """The days of the run.

    :raises dagster.Failure: there are none, because the range is reversed.
    """
    days = [dt.date.fromisoformat(key) for key in context.partition_keys]
    if not days:
        raise dg.Failure(
            "The range of partitions has no days, because it ends before it begins. Swap its two ends",
            allow_retries=False,
        )
    return days
