"""The assets: each reads its partitions, calls one plain function, and says what it did."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from pipeline import tables
from pipeline.lake import partials, usage_events
from pipeline.orchestration.resources import Stores
from pipeline.publish.publish import publish
from pipeline.queries import query

EVENTS_GROUP = "events"
PARTIALS_GROUP = "partials"
STATS_GROUP = "stats"


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
    )
    def usage_events_asset(
        context: dg.AssetExecutionContext, config: SyncConfig, stores: dg.ResourceParam[Stores]
    ) -> dg.MaterializeResult[None]:
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
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": report.rows,
                "days_appended": len(report.appended),
                "days_replaced": len(report.replaced),
                "watermark": report.snapshot.high,
                "as_of": dg.MetadataValue.timestamp(report.snapshot.as_of),
            }
        )

    @dg.asset(
        name=partials.TABLE,
        deps=[usage_events_asset],
        partitions_def=partitions,
        backfill_policy=single_run,
        group_name=PARTIALS_GROUP,
        kinds={"duckdb", "deltalake"},
        description=_purpose(f"engine/{partials.TABLE}"),
    )
    def prompt_usage_daily_asset(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> dg.MaterializeResult[None]:
        with stores.database_of_run(context.run.run_id) as database:
            report = partials.roll_up_days(database, stores.lake, _days(context))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": report.rows,
                "days_recomputed": len(report.days),
                "events_read": report.events,
            }
        )

    @dg.multi_asset(
        name="publish",
        specs=[
            *(
                dg.AssetSpec(
                    table.name,
                    deps=[prompt_usage_daily_asset],
                    group_name=STATS_GROUP,
                    kinds={"polars", "postgres"},
                    description=table.comment,
                )
                for table in tables.STATS_TABLES
            ),
            dg.AssetSpec(
                tables.prompts.name,
                deps=[tables.prompt_stats.name],
                group_name=STATS_GROUP,
                kinds={"postgres"},
                description="The counters written back into `prompts`, in the same transaction.",
            ),
        ],
    )
    def publish_assets(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with stores.database_of_run(context.run.run_id) as database:
            report = publish(database, stores.lake, stores.first_day, context.run.run_id)
        for name, rows in report.rows_written.items():
            yield dg.MaterializeResult(
                asset_key=name,
                metadata={
                    "rows_written": rows,
                    "events": report.usage_count,
                    "watermark": report.high,
                    "as_of": dg.MetadataValue.timestamp(report.as_of),
                    "lag_seconds": report.lag_seconds,
                    "pending_days": len(report.pending_days),
                    "held_back_events": report.held_back_count,
                    "seconds": {step: round(seconds, 3) for step, seconds in report.seconds.items()},
                },
            )

    return [usage_events_asset, prompt_usage_daily_asset, publish_assets]


def _days(context: dg.AssetExecutionContext) -> list[dt.date]:
    return [dt.date.fromisoformat(key) for key in context.partition_keys]


def _purpose(name: str) -> str:
    """The purpose in the header of a query, and the query: what a reader of the UI wants to know."""
    text = query(name)
    header = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
    purpose = header[0].removeprefix("Purpose:").strip()
    return f"{purpose[0].upper()}{purpose[1:]}\n\n```sql\n{text}```"
