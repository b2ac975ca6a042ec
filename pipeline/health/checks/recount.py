"""A sample of prompts, recounted from the raw events: what is published of them equals it, in every table.

All is of one snapshot of Postgres, and as of what is published: of each day the rows up to its published
mark, and all below the watermark. Of days whose raw rows expired the lake's are counted.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from sqlalchemy import Connection, Table, Text, cast, select, text

from pipeline.database import tables
from pipeline.database.queries import query
from pipeline.engines import duckdb_engine
from pipeline.health.checks.compared import COMPARED, COUNTS, OVERALL, TABLES, State, judge
from pipeline.health.checks.report import MOMENT, Report, reading
from pipeline.installation import Installation
from pipeline.lake import source
from pipeline.lake.partials import USAGE, USERS, made_from
from pipeline.lake.usage_events import open_usage_events
from pipeline.publish.copy import frame_of
from pipeline.stats.frames import windows
from pipeline.stats.percentiles import PERCENTILES
from pipeline.stats.rates import TIME_SUMS

RECOUNT_SAMPLE = text(query("health/recount_sample"))
PROMPT_RECOUNT = text(query("health/prompt_recount"))
VALUE_SUMS = text(query("health/value_sums"))

MOST_USED = 10
OTHERS = 40
"""Prompts of a sample: those used most, whose errors most people see; and some by the refresh's id, so that
each night takes others."""

USERS_PER_BATCH = 50_000
"""Pairs of prompt and user that are compared one by one, about; of the others the sums are."""

RAW_SCHEMA: dict[str, Any] = {
    "kind": pl.String,
    "prompt_id": pl.String,
    "value": pl.String,
    **dict.fromkeys(COUNTS, pl.Int64),
    **dict.fromkeys(
        ["timed_count", *TIME_SUMS, "generation_time_ms_min", "generation_time_ms_max"],
        pl.Int64,
    ),
    "first_used_at": MOMENT,
    "last_used_at": MOMENT,
    "error_count": pl.Int64,
    "last_seen_at": MOMENT,
}
"""Columns of the recounts, in Postgres and in the lake."""
NOT_IN_SUMS = {"prompt_id", "error_count", "last_seen_at"}
TYPES = {
    **dict.fromkeys([*COUNTS, "timed_count", "error_count", "unique_users", *windows()], pl.Int64),
    **dict.fromkeys(["min_generation_time_ms", "max_generation_time_ms"], pl.Int64),
    **dict.fromkeys(["success_rate", "success_rate_lower", "success_rate_upper"], pl.Float64),
    **dict.fromkeys(["avg_generation_time_ms", *PERCENTILES], pl.Float64),
    **dict.fromkeys(["first_used_at", "last_used_at", "last_seen_at"], MOMENT),
}


def prompts_equal_recount(installation: Installation) -> Report:
    """The published stats of a sample of prompts equal a recount of their raw events, in every table."""
    state = _read(installation)
    if state is None:
        return Report(passed=True, summary="Nothing has been published yet")
    return judge(state)


def _read(installation: Installation) -> State | None:
    with reading(installation) as connection:
        latest = source.latest_refresh(connection)
        if latest is None:
            return None
        sample = connection.execute(RECOUNT_SAMPLE, {"most_used": MOST_USED, "others": OTHERS}).all()
        prompts = [row.prompt_id for row in sample]
        one_of = max(sum(row.unique_users for row in sample) // USERS_PER_BATCH, 1)
        given = {"prompts": prompts, "one_of": one_of, "first_day": installation.first_day}
        found = frame_of(connection.execute(PROMPT_RECOUNT, given), RAW_SCHEMA)
        published = _published(connection, prompts)
        overall = {kind: _rows(connection, table, kind, COMPARED[kind]) for kind, table in OVERALL.items()}
        sums = frame_of(
            connection.execute(VALUE_SUMS),
            {name: RAW_SCHEMA[name] for name in RAW_SCHEMA if name not in NOT_IN_SUMS},
        )
    days = {kind: _days(found, kind) for kind in ("expired", "changed", "synced")}
    raw = found.filter(~pl.col("kind").is_in([*days]))
    left_out = set(days["changed"])
    held = open_usage_events(installation.lake).days()
    if days["expired"]:
        versions = dict(held.select("day", made_from(USAGE)).iter_rows())
        same = [day for day, version in days["expired"].items() if versions.get(day) == version]
        left_out |= days["expired"].keys() - set(same)
        raw = pl.concat([raw, _in_lake(installation.lake, same, published["total"])])
    has_users = _is_known(found, held, days["expired"])
    if one_of > 1:
        raw = raw.filter((pl.col("kind") != "user") | _is_sampled(one_of))
        published["user"] = published["user"].filter(_is_sampled(one_of))
    return State(
        published, overall, sums, raw, latest["as_of"].astimezone(dt.UTC).date(), sorted(left_out), has_users
    )


def _is_sampled(one_of: int) -> pl.Expr:
    """Whether a user is one of those of ``sql/health/prompt_recount.sql``."""

    def is_it(user: str) -> bool:
        digest = hashlib.md5(user.encode(), usedforsecurity=False).hexdigest()
        return int(digest[:8], 16) % one_of == 0

    return pl.col("value").map_elements(is_it, pl.Boolean)


def _days(found: pl.DataFrame, kind: str) -> dict[dt.date, int]:
    rows = found.filter(pl.col("kind") == kind).select(pl.col("value").str.to_date(), "usage_count")
    return dict(rows.iter_rows())


def _is_known(found: pl.DataFrame, held: pl.DataFrame, expired: Collection[dt.date]) -> bool:
    """Whether it is known up to where the stats of users are: their days only grew since, or not at all."""
    synced = found.filter(pl.col("kind") == "synced").select(
        day=pl.col("value").str.to_date(),
        events_version="usage_count",
        synced_high_of_users="timed_count",
    )
    days = synced.join(held.select("day", "synced_high", made_from(USERS).alias("now")), on="day", how="left")
    is_same = pl.col("events_version") == pl.col("now")
    only_grew = (pl.col("synced_high") == pl.col("synced_high_of_users")) & ~pl.col("day").is_in([*expired])
    return bool(days.select((is_same | only_grew).fill_null(value=False).all()).item())


def _published(connection: Connection, prompts: list[str]) -> dict[str, pl.DataFrame]:
    published = {}
    for kind, (table, value) in TABLES.items():
        columns = [name for name in (*COMPARED[kind], "unique_users", *PERCENTILES) if name in table.c]
        published[kind] = _rows(connection, table, value, columns, prompts)
    errors = _rows(connection, tables.prompt_error_stats, None, ("error_count", "last_seen_at"), prompts)
    errors = errors.group_by("prompt_id").agg(pl.col("error_count").sum(), pl.col("last_seen_at").max())
    published["total"] = (
        published["total"]
        .join(errors, on="prompt_id", how="left")
        .with_columns(pl.col("error_count").fill_null(0))
    )
    published["users"] = (
        published["user"]
        .group_by("prompt_id")
        .agg(
            pl.len().alias("unique_users"),
            pl.col(COUNTS).sum(),
            pl.col("last_used_at").max(),
        )
        .with_columns(value=pl.lit(None, pl.String))
    )
    return published


def _rows(
    connection: Connection,
    table: Table,
    value: str | None,
    columns: Collection[str],
    prompts: list[str] | None = None,
) -> pl.DataFrame:
    """The rows of a table, of some prompts or of all, with ids as text."""
    key = {"prompt_id": pl.String, "value": pl.String}
    wanted = select(
        cast(table.c.prompt_id, Text) if "prompt_id" in table.c else cast(None, Text),
        cast(table.c[value] if value else None, Text),
        *(table.c[name] for name in columns),
    )
    if prompts is not None:
        wanted = wanted.where(cast(table.c.prompt_id, Text).in_(prompts))
    return frame_of(connection.execute(wanted), {**key, **{name: TYPES[name] for name in columns}})


def _in_lake(lake: str, days: list[dt.date], published: pl.DataFrame) -> pl.DataFrame:
    """The recount of expired days from the lake."""
    is_of_sample = ds.field("prompt_id").isin(pa.array(published["prompt_id"].to_list(), pa.string()))
    events = open_usage_events(lake).read(days).filter(is_of_sample | ds.field("prompt_id").is_null())
    bounds = published.select("prompt_id", *PERCENTILES)
    bounds = bounds.unpivot(index="prompt_id", variable_name="name").drop_nulls()
    counted = duckdb_engine.run("prompt_recount", usage_events=events, bounds=ds.dataset(bounds.to_arrow()))
    counted = counted.rename({"last_error_at": "last_seen_at"}).select(
        pl.col(name).cast(kind) for name, kind in RAW_SCHEMA.items()
    )
    is_user = pl.col("kind") == "user"
    users = counted.filter(is_user, pl.col("value").is_not_null(), pl.col("prompt_id").is_not_null())
    together = users.with_columns(kind=pl.lit("users"), value=pl.lit(None, pl.String))
    return pl.concat([counted.filter(~is_user), users, together])
