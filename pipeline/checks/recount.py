"""A sample of prompts, recounted from the raw events: what is published equals it, day by day and in total.

Both are of one snapshot of Postgres, and as of what is published: of each day the rows up to its published
mark, and all below the watermark. Of days whose raw rows expired the lake's are counted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow.dataset as ds
from sqlalchemy import text

from pipeline.checks.report import MOMENT, WORST, Report, Subject, plural, rows
from pipeline.engines import duckdb_engine
from pipeline.lake.partials import USAGE, made_from
from pipeline.lake.usage_events import open_usage_events
from pipeline.queries import query
from pipeline.stats.rates import avg_generation_time_ms

PROMPT_RECOUNT = text(query("postgres/prompt_recount"))

MOST_USED = 10
OTHERS = 40
"""Prompts of a sample: those used most, whose errors most people see; and some by the refresh's id, so that
each night takes others."""

COUNTS = ("usage_count", "success_count", "failure_count")
VALUES = (*COUNTS, "avg_generation_time_ms", "last_used_at")
RAW_SCHEMA: dict[str, Any] = {
    "prompt_id": pl.String,
    "day": pl.Date,
    **dict.fromkeys(COUNTS, pl.Int64),
    "timed_count": pl.Int64,
    "generation_time_ms_sum": pl.Int64,
    "last_used_at": MOMENT,
}
SCHEMA = {
    "source": pl.String,
    **RAW_SCHEMA,
    "avg_generation_time_ms": pl.Float64,
    "events_version": pl.Int64,
}


def prompts_equal_recount(subject: Subject) -> Report:
    """The published stats of a sample of prompts equal a recount of their raw events."""
    sample = {"most_used": MOST_USED, "others": OTHERS, "first_day": subject.first_day}
    found = rows(subject, PROMPT_RECOUNT, SCHEMA, sample)
    expired = dict(found.filter(pl.col("source") == "expired").select("day", "events_version").iter_rows())
    prompts = found.filter(pl.col("source") == "total")["prompt_id"].to_list()
    raw = found.filter(pl.col("source") == "raw").select(list(RAW_SCHEMA))
    left_out = set(found.filter(pl.col("source") == "changed")["day"])
    if expired:
        held, lacking = _in_lake(subject.lake, expired, prompts)
        raw, left_out = pl.concat([raw, held]), left_out | lacking
    return judge(found, raw, left_out)


def judge(published: pl.DataFrame, raw: pl.DataFrame, left_out: set[dt.date]) -> Report:
    """Compares stats as published with raw events, both by day and prompt, but for some days.

    ``published``: rows of ``sql/postgres/prompt_recount.sql``, of which those of the sources ``day`` and
    ``total`` matter. ``raw``: counts, ``timed_count``, ``generation_time_ms_sum`` and ``last_used_at``. The
    totals are compared if no day is left out.
    """
    compared = ~pl.col("day").is_in(sorted(left_out))
    raw = raw.filter(compared)
    days = published.filter((pl.col("source") == "day") & compared)
    totals = published.filter(pl.col("source") == "total")
    differing = _differences(days, raw.with_columns(avg_generation_time_ms()))
    if not left_out:
        summed = raw.group_by("prompt_id").agg(
            pl.col(*COUNTS, "timed_count", "generation_time_ms_sum").sum(), pl.col("last_used_at").max()
        )
        # A prompt that was never used has no raw row.
        summed = totals.select("prompt_id").join(summed, on="prompt_id", how="left")
        summed = summed.with_columns(pl.col(*COUNTS, "timed_count").fill_null(0), day=pl.lit(None, pl.Date))
        differing = pl.concat(
            [differing, _differences(totals, summed.with_columns(avg_generation_time_ms()))]
        )
    prompts, events = totals.height, int(raw["usage_count"].sum())
    wrong = differing["prompt_id"].n_unique()
    return Report(
        passed=not wrong,
        summary=f"{plural(events, 'raw event')} of {plural(prompts, 'prompt')} recounted: "
        + (f"{plural(wrong, 'prompt')} published otherwise" if wrong else "published as counted"),
        figures={
            "prompts": prompts,
            "events": events,
            "prompts_that_differ": wrong,
            "days_left_out": len(left_out),
        },
        worst=[
            {
                "prompt": row["prompt_id"],
                "day": row["day"] or "in total",
                "differs": ", ".join(each for each in VALUES if row[each] != row[f"{each}_raw"]),
                "uses published": row["usage_count"] or 0,
                "uses counted": row["usage_count_raw"] or 0,
            }
            for row in differing.sort("prompt_id", "day", nulls_last=True).head(WORST).to_dicts()
        ],
    )


def _differences(published: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
    """The rows that only one side has, or that have other values; those of the raw side end in ``_raw``."""
    key = ["prompt_id", "day"]
    joined = published.select(*key, *VALUES).join(
        raw.select(*key, *VALUES), on=key, how="full", suffix="_raw", coalesce=True, nulls_equal=True
    )
    return joined.filter(pl.any_horizontal(pl.col(each).ne_missing(pl.col(f"{each}_raw")) for each in VALUES))


def _in_lake(
    lake: str, expired: Mapping[dt.date, int], prompts: list[str]
) -> tuple[pl.DataFrame, set[dt.date]]:
    """The recount of expired days from the lake, and those of them that it does not hold as published."""
    events = open_usage_events(lake)
    held = dict(events.days().select("day", made_from(USAGE)).iter_rows())
    same = [day for day, version in expired.items() if held.get(day) == version]
    sample = events.read(same).filter(ds.field("prompt_id").isin(prompts))
    recount = duckdb_engine.run("prompt_recount", usage_events=sample)
    counted = recount.select(pl.col(name).cast(kind) for name, kind in RAW_SCHEMA.items())
    return counted, expired.keys() - set(same)
