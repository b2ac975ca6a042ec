"""The published stats as assets: those that one transaction writes, and those by value, once per day."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from pipeline import formats, repair
from pipeline.database import tables
from pipeline.database.queries import query
from pipeline.lake.partials import USAGE, USERS
from pipeline.lake.usage_events import TABLE
from pipeline.orchestration import showing
from pipeline.orchestration.explaining import Upstream, explained
from pipeline.orchestration.lake_assets import EACH_TICK, HOURLY, USERS_GROUP, raise_in_last_step
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import WRITERS, step
from pipeline.orchestration.sources import observed_others, relations
from pipeline.publish.basis import code_of_stats
from pipeline.publish.publish import PublishReport
from pipeline.publish.values import QUERIES
from pipeline.stats import drift
from pipeline.stats.frames import windows
from pipeline.stats.percentiles import PERCENTILES
from pipeline.stats.rates import TIME_SUMS

STATS_GROUP = "stats"
PUBLISH = "publish"
VALUES_GROUP = "values"
NIGHTLY = "nightly"

RATES = ["success_rate", "success_rate_lower", "success_rate_upper"]

OF_PARTIALS = {
    **dict.fromkeys(RATES, ("success_count", "usage_count")),
    **dict.fromkeys(PERCENTILES, ("value", "usage_count")),
    "avg_generation_time_ms": (*TIME_SUMS, "timed_count"),
    "min_generation_time_ms": ("generation_time_ms_min",),
    "max_generation_time_ms": ("generation_time_ms_max",),
    **dict.fromkeys(["scene", "environment", "outfit", "error_kind"], ("value",)),
    "error_count": ("usage_count",),
    "last_seen_at": ("last_used_at",),
}
"""The columns of the partials that each column of the stats is made from."""
FAVORITES = Upstream(
    tables.prompt_favorites.name,
    {"favorite_count": ("user_id",), "is_favorite": ("user_id",)},
    by_name=False,
)
OF_EVENTS = {
    "value": ("scene", "environment", "outfit"),
    "usage_count": ("id",),
    "unique_users": ("user_id",),
    **dict.fromkeys([*PERCENTILES, "timed_count"], ("generation_time_ms",)),
    **dict.fromkeys(windows(), ("created_at",)),
    **dict.fromkeys(["error_kind", "error_count"], ("error_message",)),
    "last_seen_at": ("created_at",),
}
"""The columns of the raw events that each column of the stats by value is made from."""
VALUE_QUERIES = [f"engine/{name}" for name in QUERIES]

UPSTREAM = {
    tables.prompt_stats.name: [
        Upstream(USAGE.total, OF_PARTIALS),
        Upstream(USAGE.daily, dict.fromkeys(windows(), ("usage_count", "day")), by_name=False),
        Upstream(USERS.total, {"unique_users": ("value",)}, by_name=False),
        FAVORITES,
    ],
    tables.prompt_daily_stats.name: [Upstream(USAGE.daily, OF_PARTIALS)],
}

LEFT_ALONE = "Write-back is off (PROMPT_STATS_WRITE_BACK), so `prompts` is only observed, and not changed."

PRIVATE = {tables.prompt_error_stats.name}
"""Tables without a preview: Dagster's log would keep texts of their events after an erasure."""


class PublishConfig(dg.Config):
    """``users``: also publish the stats of users. They cost more, so most ticks leave them out."""

    users: bool = True


def stats_assets(*, write_back: bool) -> list[dg.AssetsDefinition]:
    """The stats, and the write-back unless it is off."""
    published = partial(
        explained, group=STATS_GROUP, kinds={"polars", "postgres"}, pace=EACH_TICK, skippable=True
    )

    @dg.multi_asset(
        name=PUBLISH,
        # It can't be subset: a backfill from the UI would publish each part in a separate run.
        specs=[
            *(
                published(
                    table.name,
                    UPSTREAM.get(table.name, [Upstream(USAGE.total, OF_PARTIALS)]),
                    description=table.comment,
                    code=code_of_stats(),
                )
                for table in tables.STATS_TABLES
            ),
            published(
                tables.prompts.name,
                [Upstream(tables.prompt_stats.name)],
                description="The counters in `prompts`, written back in the same transaction as the stats."
                + ("" if write_back else f" {LEFT_ALONE}"),
                code=[*code_of_stats(), query("publish/write_back_prompts")],
            ),
            explained(
                tables.user_prompt_stats.name,
                [Upstream(USERS.total, {**OF_PARTIALS, "user_id": ("value",)}), FAVORITES],
                group=USERS_GROUP,
                kinds={"polars", "postgres"},
                pace=HOURLY,
                description=tables.user_prompt_stats.comment,
                code=code_of_stats(),
                skippable=True,
            ),
        ],
        pool=WRITERS,
    )
    def publish_assets(
        context: dg.AssetExecutionContext, config: PublishConfig, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with step(context, stores) as installation:
            report = repair.published(installation, context.run.run_id, users=config.users)
            sizes = relations(installation.database, list(report.rows_written))
            if config.users:
                for observation in observed_others(
                    context.instance, installation.database, dt.datetime.now(dt.UTC)
                ):
                    context.log_event(observation)
        if tables.prompts.name not in report.rows_written:
            context.log_event(_left_alone(report, "waiting" if stores.write_back else "off"))
        for name in report.rows_written:
            yield dg.MaterializeResult(
                asset_key=name,
                metadata={
                    "rows_in": report.usage_count,
                    "rows_written": report.rows_written[name],
                    "rows_estimated": sizes[name]["rows_estimated"],
                    "bytes_of_table": sizes[name]["bytes"],
                    "watermark": report.high,
                    "as_of": dg.MetadataValue.timestamp(report.as_of),
                    "lag_seconds": report.lag_seconds,
                    "pending_days": len(report.pending_days),
                    "held_back_events": report.held_back_count,
                    "seconds": {step: round(seconds, 3) for step, seconds in report.seconds.items()},
                    # With each tick they would be half of what Dagster stores of it.
                    **_row_count(report, name),
                    **(_drift(report) if name == tables.prompts.name else {}),
                    **(_shown(report, name) if config.users else {}),
                },
            )
        # The other days are published. The run still fails, so that somebody notices.
        raise_in_last_step(context)

    @dg.multi_asset(
        name="publish_values",
        specs=[
            explained(
                table.name,
                [Upstream(TABLE, OF_EVENTS), Upstream(tables.prompt_stats.name, by_name=False)],
                group=VALUES_GROUP,
                kinds={"duckdb", "postgres"},
                pace=NIGHTLY,
                description=table.comment,
                code=[*code_of_stats(), *map(query, VALUE_QUERIES)],
            )
            for table in tables.VALUE_TABLES
        ],
    )
    def value_assets(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.MaterializeResult[None]]:
        with step(context, stores) as installation:
            report = repair.values_published(installation)
            sizes = relations(installation.database, list(report.rows_written))
        for name, rows in report.rows_written.items():
            yield dg.MaterializeResult(
                asset_key=name,
                metadata={
                    "rows_written": rows,
                    "rows_estimated": sizes[name]["rows_estimated"],
                    "bytes_of_table": sizes[name]["bytes"],
                    "as_of": dg.MetadataValue.timestamp(report.as_of),
                    "seconds": report.seconds,
                },
            )

    return [publish_assets, value_assets]


def _left_alone(report: PublishReport, write_back: str) -> dg.AssetObservation:
    """An observation of ``prompts`` for a publish that did not write to it."""
    as_of = report.write_back_as_of
    known = {"counters_as_of": dg.MetadataValue.timestamp(as_of)} if as_of else {}
    return dg.AssetObservation(
        tables.prompts.name,
        metadata={"write_back": write_back, "pending_days": len(report.pending_days), **known},
    )


def _drift(report: PublishReport) -> dict[str, Any]:
    """By how much the app's own counters differed, for the publish that replaces them."""
    if report.counter_drift is None:
        return {}
    header, lines = drift.rows(report.counter_drift, {}, showing.ROWS)
    return {
        "prompts_that_differed": report.counter_drift["differing_count"],
        "counter_drift": dg.MetadataValue.md(
            formats.markdown_table(
                header, [[formats.markdown(line[0]), *line[1:]] for line in lines], header[1:]
            )
        ),
    }


def _row_count(report: PublishReport, name: str) -> dict[str, int]:
    """How many rows the table has, if that is known. Of the days, only those that changed are read."""
    is_whole = name in report.stats and name != tables.prompt_daily_stats.name
    return {"dagster/row_count": report.stats[name].height} if is_whole else {}


def _shown(report: PublishReport, name: str) -> dict[str, Any]:
    """A preview and chart of the largest rows, if the publish has them."""
    rows = report.stats.get(name)
    if rows is None or rows.is_empty():
        return {}
    count = "error_count" if "error_count" in rows.columns else "usage_count"
    first = rows.top_k(showing.BARS, by=count)
    shown: dict[str, Any] = {"chart": showing.chart(first[count].to_list(), f"{count} of the largest rows")}
    if name not in PRIVATE:
        shown["preview"] = showing.preview(first)
    return shown
