"""Checks how old the stats are, and whether the clocks of database, pipeline and producers agree."""

from __future__ import annotations

import datetime as dt

import polars as pl
from sqlalchemy import text

from pipeline import formats
from pipeline.database.queries import query
from pipeline.health.checks.report import MOMENT, WORST, Report, plural, rows
from pipeline.installation import Installation

STATS_AGES = text(query("health/stats_ages"))
EVENTS_AHEAD = text(query("health/events_ahead"))

LIMITS = {
    # Six ticks of the schedule.
    "stats": dt.timedelta(minutes=30),
    # They follow every hour,
    "stats of users": dt.timedelta(hours=3),
    # and these every night.
    "stats by value": dt.timedelta(hours=36),
}
"""How old the ``as_of`` of each kind of stats may be."""

AGES_SCHEMA = {"kind": pl.String, "name": pl.String, "since": MOMENT, "seconds": pl.Float64}

WRITES_LONG = dt.timedelta(minutes=1)
"""Writing transactions that are open for longer are named, because they hold back the watermark."""

LARGEST_SKEW = dt.timedelta(seconds=10)
"""Between database and pipeline; servers whose clocks are set by the network differ by milliseconds."""

LARGEST_LEAD = dt.timedelta(minutes=1)
"""Of a producer; those of phones, which nobody sets, are off by seconds."""

AHEAD_SCHEMA = {
    "read_at": MOMENT,
    "events_ahead": pl.Int64,
    "id": pl.String,
    "prompt_id": pl.String,
    "user_id": pl.String,
    "seconds_ahead": pl.Float64,
}


def stats_are_fresh(installation: Installation) -> Report:
    """The published stats are recent."""
    return judge_ages(rows(installation, STATS_AGES, AGES_SCHEMA, {"longest": WRITES_LONG}))


def judge_ages(ages: pl.DataFrame) -> Report:
    """From the rows of ``sql/health/stats_ages.sql``."""
    seconds = dict(ages.filter(pl.col("kind") == "stats").select("name", "seconds").iter_rows())
    if not seconds:
        return Report(passed=False, summary="Nothing has been published yet; run: prompt-stats refresh")
    late = {name: age for name, age in seconds.items() if age > LIMITS[name].total_seconds()}
    writers = ages.filter(pl.col("kind") == "transaction")
    said = [
        f"the {name} are {dt.timedelta(seconds=round(age))} old, and may be {LIMITS[name]}"
        for name, age in late.items()
    ]
    return Report(
        passed=not late,
        summary="; ".join(said) or f"The stats are {plural(round(seconds['stats']), 'second')} old",
        figures={
            **{f"lag_seconds_of_{name.replace(' ', '_')}": round(age, 1) for name, age in seconds.items()},
            "long_writing_transactions": writers.height,
        },
        worst=[
            {"what": row["kind"], "name": row["name"], "since": row["since"], "seconds": row["seconds"]}
            for row in [
                *ages.filter(pl.col("name").is_in(list(late))).to_dicts(),
                *writers.head(WORST).to_dicts(),
            ]
        ],
    )


def clocks_agree(installation: Installation) -> Report:
    """Database and pipeline have the same time, and no event is dated after its arrival."""
    before = dt.datetime.now(dt.UTC)
    events = rows(installation, EVENTS_AHEAD, AHEAD_SCHEMA, {"lead": LARGEST_LEAD, "limit": WORST})
    return judge_clocks(before, events, dt.datetime.now(dt.UTC))


def skew_of(before: dt.datetime, read_at: dt.datetime, after: dt.datetime) -> dt.timedelta:
    """How far a clock that was read between two moments of this one is off at least."""
    return max(before - read_at, read_at - after, dt.timedelta(0))


def judge_clocks(before: dt.datetime, events: pl.DataFrame, after: dt.datetime) -> Report:
    """From the rows of ``sql/health/events_ahead.sql``, read between two moments of this clock."""
    read_at = events["read_at"].item(0)
    skew = skew_of(before, read_at, after)
    count = int(events["events_ahead"].item(0))
    named = events.filter(pl.col("id").is_not_null())
    said = []
    if skew > LARGEST_SKEW:
        which = "ahead of" if read_at > after else "behind"
        said.append(f"the database's clock is {skew.total_seconds():,.0f} s {which} this machine's")
    if count:
        most = named["seconds_ahead"].item(0)
        said.append(f"{plural(count, 'event')} dated after they came, by up to {most:,.0f} s")
    return Report(
        passed=not said,
        summary="; ".join(said) or "The clocks agree",
        figures={
            "database_skew_seconds": round(skew.total_seconds(), 3),
            "database_clock": formats.moment(read_at),
            "events_ahead": count,
        },
        worst=[
            {
                "event": row["id"],
                "prompt": row["prompt_id"],
                "user": row["user_id"],
                "s ahead": row["seconds_ahead"],
            }
            for row in named.to_dicts()
        ],
    )
