"""What is published of some prompts beside their recount: the rows that differ, in every table.

Frames in, frames out. ``pipeline.health.checks.recount`` reads both.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

import polars as pl
from sqlalchemy import Table

from pipeline.database import tables
from pipeline.health.checks.report import WORST, Report, plural
from pipeline.stats.frames import windows
from pipeline.stats.percentiles import PERCENTILES
from pipeline.stats.rates import TIME_SUMS, avg_generation_time_ms, success_rate, success_rate_interval

COMMAND = "prompt-stats reconcile"

DIMENSIONS = ("scene", "environment", "outfit")
COUNTS = ("usage_count", "success_count", "failure_count")
MEASURES = (*COUNTS, "success_rate", "avg_generation_time_ms", "last_used_at")
DETAILS = (
    "first_used_at",
    "success_rate_lower",
    "success_rate_upper",
    "timed_count",
    "min_generation_time_ms",
    "max_generation_time_ms",
)
COMPARED = {
    "total": (*MEASURES, *DETAILS, *windows(), "error_count", "last_seen_at"),
    "day": MEASURES,
    **dict.fromkeys(DIMENSIONS, (*MEASURES, *DETAILS)),
    "user": MEASURES,
    "users": (*COUNTS, "last_used_at"),
}
"""By kind of row, the columns that are compared."""
TABLES: dict[str, tuple[Table, str | None]] = {
    "total": (tables.prompt_stats, None),
    "day": (tables.prompt_daily_stats, "day"),
    "scene": (tables.prompt_scene_stats, "scene"),
    "environment": (tables.prompt_environment_stats, "environment"),
    "outfit": (tables.prompt_outfit_stats, "outfit"),
    "user": (tables.user_prompt_stats, "user_id"),
}
OVERALL = {each: tables.metadata.tables[f"{each}_stats"] for each in DIMENSIONS}

KEY = ["prompt_id", "value"]


@dataclass(frozen=True)
class State:
    """What is published of a sample, by kind, and what was recounted; of one moment.

    ``left_out``: days that could not be recounted. ``has_users``: whether the stats of users could be.
    """

    published: dict[str, pl.DataFrame]
    overall: dict[str, pl.DataFrame]
    sums: pl.DataFrame
    raw: pl.DataFrame
    today: dt.date
    left_out: Collection[dt.date]
    has_users: bool


def judge(state: State) -> Report:
    """Compares by day; and where no day is left out, in total, by value, by user, and over all prompts."""
    days = _summed(state.raw.filter(pl.col("kind") == "day"))
    recounted = {"day": days.filter(pl.col("prompt_id").is_not_null())}
    if not state.left_out:
        recounted |= {
            kind: _summed(state.raw.filter((pl.col("kind") == kind) & pl.col("prompt_id").is_not_null()))
            for kind in DIMENSIONS
        }
        recounted["total"] = _total(days, state.published["total"], state.today)
        if state.has_users:
            for kind in ("user", "users"):
                recounted[kind] = _summed(state.raw.filter(pl.col("kind") == kind))
    is_compared = ~pl.col("value").is_in([day.isoformat() for day in state.left_out])
    recounted["day"] = recounted["day"].filter(is_compared)
    published = {**state.published, "day": state.published["day"].filter(is_compared)}
    found = [_differences(kind, published[kind], rows) for kind, rows in recounted.items()]
    if not state.left_out:
        found += [_wrong_percentiles(state, recounted["total"]), _wrong_users(state)]
        found += [_wrong_overall(kind, state) for kind in DIMENSIONS]
    differing = pl.concat(found)
    prompts = state.published["total"].height
    events = int(recounted["day"]["usage_count"].sum())
    wrong = differing.select("table", "prompt", "of").n_unique()
    return Report(
        passed=not wrong,
        summary=f"{plural(events, 'raw event')} of {plural(prompts, 'prompt')} recounted: "
        + (
            f"{plural(wrong, 'published row')} differ, in {', '.join(differing['table'].unique().sort())}"
            if wrong
            else "what is published is equal"
        )
        + (
            f"; {plural(len(state.left_out), 'day')} with changed rows left out, so without totals and values"
            if state.left_out
            else ""
        ),
        figures={
            "prompts": prompts,
            "events": events,
            "rows_that_differ": wrong,
            "days_left_out": len(state.left_out),
            "users_recounted": state.has_users and not state.left_out,
        },
        worst=[
            {**row, "repair": COMMAND}
            for row in differing.sort("table", "prompt", "of", nulls_last=True).head(WORST).to_dicts()
        ],
    )


def _summed(raw: pl.DataFrame) -> pl.DataFrame:
    """Rows of Postgres and of the lake made one per prompt and value, with what follows from them."""
    summed = raw.group_by(KEY).agg(
        pl.col(*COUNTS, "timed_count", *TIME_SUMS, "error_count").sum(),
        pl.col("generation_time_ms_min", "first_used_at").min(),
        pl.col("generation_time_ms_max", "last_used_at", "last_seen_at").max(),
    )
    return _with_rates(summed)


def _with_rates(summed: pl.DataFrame) -> pl.DataFrame:
    return summed.with_columns(
        success_rate(),
        avg_generation_time_ms(),
        *success_rate_interval(),
        min_generation_time_ms="generation_time_ms_min",
        max_generation_time_ms="generation_time_ms_max",
    )


def _total(days: pl.DataFrame, published: pl.DataFrame, today: dt.date) -> pl.DataFrame:
    """The days of each prompt together; a prompt that was never used has no raw row."""
    day = pl.col("value").str.to_date()
    recent = [
        pl.col("usage_count")
        .filter(day.is_between(today - dt.timedelta(first), today - dt.timedelta(last)))
        .sum()
        .alias(name)
        for name, (first, last) in windows().items()
    ]
    used = days.group_by("prompt_id").agg(recent)
    summed = _summed(days.with_columns(value=pl.lit(None, pl.String))).join(used, on="prompt_id", how="left")
    zero = [*COUNTS, "timed_count", "error_count", *windows()]
    totals = published.select(KEY).join(summed.drop("value"), on="prompt_id", how="left")
    return totals.with_columns(pl.col(zero).fill_null(0))


def _differences(kind: str, published: pl.DataFrame, recounted: pl.DataFrame) -> pl.DataFrame:
    """The rows that only one side has, or that have other values; and which."""
    columns = COMPARED[kind]
    table = TABLES["user" if kind == "users" else kind][0].name
    joined = published.select(*KEY, *columns).join(
        recounted.select(*KEY, *columns), on=KEY, how="full", suffix="_raw", coalesce=True, nulls_equal=True
    )
    return _said(table, joined, columns)


def _said(table: str, joined: pl.DataFrame, columns: Collection[str]) -> pl.DataFrame:
    differs = [
        pl.when(_differ(name)).then(
            pl.format(
                "{} {}, counted {}",
                pl.lit(name),
                pl.col(name).cast(pl.String).fill_null("none"),
                pl.col(f"{name}_raw").cast(pl.String).fill_null("none"),
            )
        )
        for name in columns
    ]
    said = joined.select(
        table=pl.lit(table),
        prompt="prompt_id",
        of="value",
        differs=pl.concat_list(differs).list.drop_nulls().list.join("; "),
    )
    return said.filter(pl.col("differs") != "")


def _differ(name: str) -> pl.Expr:
    """Whether a published value is not the counted one. Means of sums that were made from means are as near
    to each other as a double allows.
    """
    published, counted = pl.col(name), pl.col(f"{name}_raw")
    if name != "avg_generation_time_ms":
        return published.ne_missing(counted)
    is_near = ((published - counted).abs() <= counted.abs() * 1e-14).fill_null(value=False)
    return published.ne_missing(counted) & ~is_near


def _wrong_percentiles(state: State, totals: pl.DataFrame) -> pl.DataFrame:
    """Those that are not within 2 % of the time of their rank, or are there where nothing was timed."""
    published = state.published["total"]
    counted = (
        state.raw.filter(pl.col("kind") == "time")
        .group_by(KEY)
        .agg(below=pl.col("usage_count").sum(), within=pl.col("timed_count").sum())
    )
    each = (
        published.select("prompt_id", *PERCENTILES)
        .unpivot([*PERCENTILES], index="prompt_id", variable_name="value", value_name="published")
        .join(totals.select("prompt_id", "timed_count"), on="prompt_id")
        .join(counted, on=KEY, how="left")
    )
    percent = pl.col("value").replace_strict(PERCENTILES, return_dtype=pl.Int64)
    # The rank of percentile_disc: the smallest time that so many per cent do not exceed.
    rank = (percent * pl.col("timed_count") + 99) // 100
    is_right = (
        pl.when(pl.col("timed_count") == 0)
        .then(pl.col("published").is_null())
        .otherwise((pl.col("below") < rank) & (rank <= pl.col("within")))
    )
    return each.filter(~is_right.fill_null(value=False)).select(
        table=pl.lit(tables.prompt_stats.name),
        prompt="prompt_id",
        of=pl.lit(None, pl.String),
        differs=pl.format(
            "{} {} is not that of the times", "value", pl.col("published").cast(pl.String).fill_null("none")
        ),
    )


def _wrong_users(state: State) -> pl.DataFrame:
    """The prompts whose number of users is not that of their rows by user."""
    number = pl.col("unique_users").cast(pl.Int64)
    counted = state.published["users"].select("prompt_id", unique_users_raw=number)
    joined = state.published["total"].join(counted, on="prompt_id", how="left")
    joined = joined.with_columns(pl.col("unique_users_raw").fill_null(0))
    return _said(tables.prompt_stats.name, joined, ["unique_users"])


def _wrong_overall(kind: str, state: State) -> pl.DataFrame:
    """The values of which the stats of all prompts and of none do not add up to what is published."""
    without = state.raw.filter((pl.col("kind") == kind) & pl.col("prompt_id").is_null())
    both = pl.concat([state.sums.filter(pl.col("kind") == kind), without], how="diagonal")
    joined = state.overall[kind].join(
        _summed(both), on=KEY, how="full", suffix="_raw", coalesce=True, nulls_equal=True
    )
    return _said(OVERALL[kind].name, joined, COMPARED[kind])
