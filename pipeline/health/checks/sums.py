"""The stats tables of one publish count the same events: in sum, and prompt by prompt."""

from __future__ import annotations

import polars as pl
from sqlalchemy import text

from pipeline.database.queries import query
from pipeline.health.checks.report import WORST, Report, plural, rows
from pipeline.installation import Installation

STATS_SUMS = text(query("health/stats_sums"))

COUNTS = ("usage_count", "success_count", "failure_count")
SCHEMA = {
    "table_name": pl.String,
    "prompt_id": pl.String,
    **dict.fromkeys(COUNTS, pl.Int64),
    "differing_prompts": pl.Int64,
    "is_written": pl.Boolean,
}


def stats_add_up(installation: Installation) -> Report:
    """The tables of the last publish count the same events: each in sum, and those by prompt each prompt.

    The counters in ``prompts`` are the app's as well: how many differ is said, and is no failure unless the
    last refresh could not write them.
    """
    return judge(rows(installation, STATS_SUMS, SCHEMA, {"limit": WORST}))


def judge(sums: pl.DataFrame) -> Report:
    """From the rows of ``sql/health/stats_sums.sql``.

    Events without a prompt are in the sums by scene, environment, outfit and day, and not in those by prompt.
    """
    whole = {row["table_name"]: row for row in sums.filter(pl.col("prompt_id").is_null()).to_dicts()}
    differing = sums.filter(pl.col("prompt_id").is_not_null())
    written_back = whole.pop("prompts")
    counters, is_written = written_back["differing_prompts"], written_back["is_written"]
    published, scenes = whole["stats_refresh"]["usage_count"], whole["scene_stats"]
    by_prompt = whole.pop("prompt_stats")["usage_count"]
    wrong = [row for row in whole.values() if row["usage_count"] != published]
    wrong += [
        row
        for name, row in whole.items()
        if name in ("environment_stats", "outfit_stats") and any(row[each] != scenes[each] for each in COUNTS)
    ]
    tables = sorted(
        {row["table_name"] for row in wrong} | ({"prompt_stats"} if by_prompt > published else set())
    )
    prompts = int(differing["differing_prompts"].item(0)) if differing.height else 0
    said = [f"{', '.join(tables)} count other than {plural(published, 'event')}"] if tables else []
    said += [f"the tables differ on {plural(prompts, 'prompt')}"] if prompts else []
    if is_written is False:
        said.append(
            "the last refresh could not write all counters into prompts, which differs on"
            f" {plural(counters, 'prompt')}: a trigger keeps or changes them, or the app held the rows"
        )
    summary = "; ".join(said) or f"All tables count the same {plural(published, 'event')}"
    if counters and is_written is not False:
        summary += (
            f"; prompts differs on {plural(counters, 'prompt')}: the app counts for itself as well,"
            " or somebody edited it; the next refresh writes it again"
        )
    return Report(
        passed=not said,
        summary=summary,
        figures={
            "events": published,
            "events_without_prompt": max(published - by_prompt, 0),
            "prompts_that_differ": prompts,
            "counters_that_differ": counters,
        },
        worst=[
            {
                "table": row["table_name"],
                "prompt": row["prompt_id"] or "all",
                **{each: row[each] for each in COUNTS},
            }
            for row in [*wrong, *differing.to_dicts()]
        ][:WORST],
    )
