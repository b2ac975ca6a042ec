"""The assets: each reads its partitions, calls one plain function, and says what it did."""

import datetime as dt
from collections.abc import Iterator, Mapping

import dagster as dg

from pipeline import tables
from pipeline.lake import partials, periods, usage_events
from pipeline.lake.partials import USAGE, USERS, Rollup
from pipeline.orchestration.resources import Stores
from pipeline.publish.publish import publish
from pipeline.publish.values import publish_values
from pipeline.queries import query

EVENTS_GROUP = "events"
PARTIALS_GROUP = "partials"
USERS_GROUP = "users"
STATS_GROUP = "stats"
VALUES_GROUP = "values"

EVERY_DAY_PROCESSED = "every_day_processed"


class SyncConfig(dg.Config):
    """How ``usage_events`` brings a day up to date.

    ``replace``: read the day again whole, as a backfill should; otherwise only the new rows travel, and
    the day is replaced only where raw rows were updated or deleted.
    """

    replace: bool = True


def daily_partitions(first_day: dt.date) -> dg.DailyPartitionsDefinition:
    """One partition a day (UTC), from ``first_day`` to tomorrow: a producer's clock may run ahead."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC", end_offset=2)


def build_assets(first_day: dt.date) -> list[dg.AssetsDefinition]:
    """All assets, over the days from ``first_day`` on."""
    partitions = daily_partitions(first_day)
    single_run = dg.BackfillPolicy.single_run()

    @dg.asset(
        name=usage_events.TABLE,
        partitions_def=partitions,
        backfill_policy=single_run,
        group_name=EVENTS_GROUP,
        kinds={"deltalake", "postgres"},
        description="Raw usage events in the lake, one partition a day: `prompt_usage` in columns.",
        check_specs=[_days_check(usage_events.TABLE)],
    )
    def usage_events_asset(
        context: dg.AssetExecutionContext, config: SyncConfig, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with stores.database_of_run(context.run.run_id) as database:
            report = usage_events.sync_days(
                database,
                stores.lake,
                stores.first_day,
                _days(context),
                replace=config.replace,
                progress=lambda done, total: context.log.info(
                    f"{done:,} of {total:,} events are in the lake"
                ),
            )
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": report.rows,
                "days_appended": len(report.appended),
                "days_replaced": len(report.replaced),
                "watermark": report.snapshot.high,
                "as_of": dg.MetadataValue.timestamp(report.snapshot.as_of),
            },
            check_results=[_days_processed(report.failed)],
        )

    @dg.asset(
        name=USAGE.daily,
        deps=[usage_events_asset],
        partitions_def=partitions,
        backfill_policy=single_run,
        group_name=PARTIALS_GROUP,
        kinds={"duckdb", "deltalake"},
        description=_purpose(f"engine/{USAGE.daily}"),
        check_specs=[_days_check(USAGE.daily)],
    )
    def prompt_usage_daily_asset(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with stores.database_of_run(context.run.run_id) as database:
            report = partials.roll_up_days(database, stores.lake, _days(context))
        yield dg.MaterializeResult(
            metadata=_rolled_up(report), check_results=[_days_processed(report.failed)]
        )

    @dg.multi_asset(
        name="settle_usage",
        specs=_period_specs(USAGE, USAGE.daily),
    )
    def usage_periods(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with stores.database_of_run(context.run.run_id) as database:
            months = periods.settle(database, stores.lake, USAGE)
        for name in (USAGE.monthly, USAGE.total):
            yield dg.MaterializeResult(asset_key=name, metadata={"months_recomputed": len(months)})

    @dg.multi_asset(
        name="roll_up_users",
        specs=[
            # No partitions: a year's worth of them would write a year's worth of events for each table.
            dg.AssetSpec(
                USERS.daily,
                deps=[usage_events_asset],
                group_name=USERS_GROUP,
                kinds={"duckdb", "deltalake"},
                description=_purpose(f"engine/{USERS.daily}"),
            ),
            *_period_specs(USERS, USERS.daily, USERS_GROUP),
        ],
        check_specs=[_days_check(USERS.daily)],
    )
    def user_partials(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with stores.database_of_run(context.run.run_id) as database:
            report = partials.roll_up_days(database, stores.lake, rollup=USERS)
            months = periods.settle(database, stores.lake, USERS)
        yield dg.MaterializeResult(
            asset_key=USERS.daily, metadata=_rolled_up(report), check_results=[_days_processed(report.failed)]
        )
        for name in (USERS.monthly, USERS.total):
            yield dg.MaterializeResult(asset_key=name, metadata={"months_recomputed": len(months)})

    @dg.multi_asset(
        name="publish",
        # The stats of users are left out of most ticks of the schedule.
        can_subset=True,
        specs=[
            *(
                dg.AssetSpec(
                    table.name,
                    deps=[USAGE.total],
                    group_name=STATS_GROUP,
                    kinds={"polars", "postgres"},
                    description=table.comment,
                    skippable=True,
                )
                for table in tables.STATS_TABLES
            ),
            dg.AssetSpec(
                tables.prompts.name,
                deps=[tables.prompt_stats.name],
                group_name=STATS_GROUP,
                kinds={"postgres"},
                description="The counters written back into `prompts`, in the same transaction.",
                skippable=True,
            ),
            dg.AssetSpec(
                tables.user_prompt_stats.name,
                deps=[USERS.total],
                group_name=USERS_GROUP,
                kinds={"polars", "postgres"},
                description=tables.user_prompt_stats.comment,
                skippable=True,
            ),
        ],
    )
    def publish_assets(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        selected = {key.to_user_string() for key in context.selected_asset_keys}
        with stores.database_of_run(context.run.run_id) as database:
            report = publish(
                database,
                stores.lake,
                stores.first_day,
                context.run.run_id,
                users=tables.user_prompt_stats.name in selected,
            )
        for name in report.rows_written:
            if name not in selected:
                continue
            yield dg.MaterializeResult(
                asset_key=name,
                metadata={
                    "rows_written": report.rows_written[name],
                    "events": report.usage_count,
                    "watermark": report.high,
                    "as_of": dg.MetadataValue.timestamp(report.as_of),
                    "lag_seconds": report.lag_seconds,
                    "pending_days": len(report.pending_days),
                    "held_back_events": report.held_back_count,
                    "seconds": {step: round(seconds, 3) for step, seconds in report.seconds.items()},
                },
            )

    @dg.multi_asset(
        name="publish_values",
        specs=[
            dg.AssetSpec(
                table.name,
                deps=[usage_events_asset, tables.prompt_stats.name],
                group_name=VALUES_GROUP,
                kinds={"duckdb", "postgres"},
                description=table.comment,
            )
            for table in tables.VALUE_TABLES
        ],
    )
    def value_assets(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with stores.database_of_run(context.run.run_id) as database:
            report = publish_values(database, stores.lake)
        for name, rows in report.rows_written.items():
            yield dg.MaterializeResult(
                asset_key=name,
                metadata={
                    "rows_written": rows,
                    "as_of": dg.MetadataValue.timestamp(report.as_of),
                    "seconds": report.seconds,
                },
            )

    return [
        usage_events_asset,
        prompt_usage_daily_asset,
        usage_periods,
        user_partials,
        publish_assets,
        value_assets,
    ]


def _period_specs(rollup: Rollup, daily: str, group: str = PARTIALS_GROUP) -> list[dg.AssetSpec]:
    """The partials by month, and those of all months merged."""
    return [
        dg.AssetSpec(
            name,
            deps=[source],
            group_name=group,
            kinds={"duckdb", "deltalake"},
            description=_purpose("engine/merged_partials"),
        )
        for name, source in ((rollup.monthly, daily), (rollup.total, rollup.monthly))
    ]


def _days_check(asset: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        EVERY_DAY_PROCESSED,
        asset=asset,
        description="One day's fault does not hold up the others: it stays stale and is tried again.",
    )


def _days_processed(failed: Mapping[dt.date, str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=EVERY_DAY_PROCESSED,
        passed=not failed,
        metadata={day.isoformat(): reason for day, reason in failed.items()},
    )


def _rolled_up(report: partials.RollupReport) -> dict[str, int]:
    return {
        "dagster/row_count": report.rows,
        "days_recomputed": len(report.days),
        "events_read": report.events,
    }


def _days(context: dg.AssetExecutionContext) -> list[dt.date]:
    return [dt.date.fromisoformat(key) for key in context.partition_keys]


def _purpose(name: str) -> str:
    """The purpose in the header of a query, and the query: what a reader of the UI wants to know."""
    text = query(name)
    header = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
    purpose = header[0].removeprefix("Purpose:").strip()
    return f"{purpose[0].upper()}{purpose[1:]}\n\n```sql\n{text}```"
