"""Finds events that are rejected, held back, missing, or of prompts that do not exist."""

from __future__ import annotations

import polars as pl
from sqlalchemy import text

from pipeline import formats
from pipeline.database.queries import query
from pipeline.health.checks.report import MOMENT, WORST, Report, plural, rows
from pipeline.installation import Installation
from pipeline.lake.usage_events import unusable_values
from pipeline.maintenance import coverage

REJECTED_REASONS = text(query("health/rejected_reasons"))
HELD_BACK_DAYS = text(query("health/held_back_days"))
UNKNOWN_PROMPTS = text(query("health/unknown_prompts"))

REASONS_SCHEMA = {"reason": pl.String, "event_count": pl.Int64, "first_at": MOMENT, "last_at": MOMENT}
HELD_BACK_SCHEMA = {
    "day": pl.String,
    "event_count": pl.Int64,
    "prompt_count": pl.Int64,
    "user_count": pl.Int64,
}
UNKNOWN_SCHEMA = {
    "prompt_id": pl.String,
    "usage_count": pl.Int64,
    "usage_count_1d": pl.Int64,
    "first_used_at": MOMENT,
    "last_used_at": MOMENT,
}


def no_events_rejected(installation: Installation) -> Report:
    """No event waits in ``prompt_usage_rejected``."""
    return judge_rejected(rows(installation, REJECTED_REASONS, REASONS_SCHEMA))


def judge_rejected(reasons: pl.DataFrame) -> Report:
    """From the rows of ``sql/health/rejected_reasons.sql``."""
    count, oldest = int(reasons["event_count"].sum()), reasons["first_at"].min()
    return Report(
        passed=not count,
        summary=f"{plural(count, 'event')} rejected, the oldest at {formats.moment(oldest)}"  # type: ignore[arg-type]  # polars' stub knows no column types
        if count
        else "No events were rejected",
        figures={"events": count, "reasons": reasons.height, "oldest_at": oldest},
        worst=[
            {
                "reason": row["reason"],
                "events": row["event_count"],
                "first": row["first_at"],
                "last": row["last_at"],
            }
            for row in reasons.head(WORST).to_dicts()
        ],
    )


def no_events_held_back(installation: Installation) -> Report:
    """No event is dated more than a day ahead."""
    return judge_held_back(rows(installation, HELD_BACK_DAYS, HELD_BACK_SCHEMA))


def judge_held_back(days: pl.DataFrame) -> Report:
    """From the rows of ``sql/health/held_back_days.sql``."""
    count = int(days["event_count"].sum())
    first = days["day"].item(0) if count else None
    return Report(
        passed=not count,
        summary=f"{plural(count, 'event')} held back, the first until {first}"
        if count
        else "No events are held back",
        figures={"events": count, "days": days.height, "first_day": first},
        worst=[
            {"day": day, "events": events, "prompts": prompts, "users": users}
            for day, events, prompts, users in days.head(WORST).iter_rows()
        ],
    )


def values_are_usable(installation: Installation) -> Report:
    """No event has an unusable generation time."""
    count, ids = unusable_values(installation.lake)
    return Report(
        passed=not count,
        summary=f"{plural(count, 'event')} with an unusable generation time"
        if count
        else "All values are usable",
        figures={"events": count},
        worst=[{"event": event_id, "column": "generation_time_ms"} for event_id in ids],
    )


def prompts_exist(installation: Installation) -> Report:
    """No prompt that does not exist was used on the day of ``as_of``."""
    return judge_prompts(rows(installation, UNKNOWN_PROMPTS, UNKNOWN_SCHEMA))


def judge_prompts(unknown: pl.DataFrame) -> Report:
    """From the rows of ``sql/health/unknown_prompts.sql``.

    Prompts may be deleted, and what they were used for still counts; so only use today is no good sign.
    """
    used = unknown.filter(pl.col("usage_count_1d") > 0)
    count = int(unknown["usage_count"].sum())
    return Report(
        passed=used.is_empty(),
        summary=f"{plural(count, 'event')} of {plural(unknown.height, 'prompt')} not in prompts, "
        f"{used.height} of them used today",
        figures={
            "prompts_not_there": unknown.height,
            "their_events": count,
            "prompts_used_today": used.height,
            "their_events_today": int(used["usage_count_1d"].sum()),
        },
        worst=[
            {
                "prompt": row["prompt_id"],
                "events today": row["usage_count_1d"],
                "events": row["usage_count"],
                "first used": formats.moment(row["first_used_at"]),
                "last used": formats.moment(row["last_used_at"]),
            }
            for row in unknown.head(WORST).to_dicts()
        ],
    )


def posts_have_events(installation: Installation) -> Report:
    """Each post that was made from a prompt, and is an hour old, has its event."""
    found = coverage.look_for_missing(installation)
    return Report(
        passed=not found.missing,
        summary=f"{found.missing} of {plural(found.posts, 'post')} without an event",
        figures={
            "posts": found.posts,
            "posts_without_event": found.missing,
            "first_at": found.first_at,
            "last_at": found.last_at,
        },
    )
