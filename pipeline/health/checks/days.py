"""Day by day: the lake holds what Postgres does, and as much happened as on the same weekday before."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Collection

import polars as pl
from sqlalchemy import text

from pipeline.database.queries import query
from pipeline.days import ONE_DAY
from pipeline.health.checks.report import WORST, Report, plural, rows
from pipeline.installation import Installation
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.usage_events import open_own_events, open_usage_events

DAY_COUNTS = text(query("health/day_counts"))
WEEKDAY_COUNTS = text(query("health/weekday_counts"))

RECENT = 7
"""Days whose raw rows are counted; the others are compared by the ledgers, and every night by reconcile."""

DAYS_SCHEMA = {
    "day": pl.Date,
    "published_count": pl.Int64,
    "published_mark": pl.Int64,
    "expired_count": pl.Int64,
    "raw_count": pl.Int64,
    "raw_mark": pl.Int64,
    "is_raw_comparable": pl.Boolean,
}

WEEKS = 8
FEWEST_WEEKS = 4
"""Same weekdays that a day is compared with, and how many of them need events."""

USUAL_SCATTER = 0.1
LARGEST_SCORE = 3.5
"""How much of the median days differ anyway, and how many times the usual scatter is unusual. Days of a
scatter of 10 % then fail once in ten years, of 20 % once in three months."""

MAD_TO_SIGMA = 1.4826
"""The standard deviation of normal values whose median absolute deviation is 1."""


def lake_equals_postgres(installation: Installation) -> Report:
    """The lake has each published day; of the last days, and of expired ones, as many events as it should."""
    lake = open_own_events(installation)
    held = lake.days()
    from_day = max(dt.datetime.now(dt.UTC).date() - (RECENT - 1) * ONE_DAY, installation.first_day)
    marks = dict(held.select("day", "mark").iter_rows())
    parameters = {
        "first_day": installation.first_day,
        "from_day": from_day,
        "marks": [marks.get(from_day + number * ONE_DAY, -1) for number in range(RECENT + 2)],
    }
    counted = rows(installation, DAY_COUNTS, DAYS_SCHEMA, parameters)
    report = judge_days(counted, held)
    if report.passed:
        return report
    # A writer may have moved on between the two looks: what it touched is the next check's business.
    return judge_days(counted, held, _moved(held, open_usage_events(installation.lake)))


def _moved(held: pl.DataFrame, lake: DailyTable) -> list[dt.date]:
    versions = pl.concat([held.select("day", "version"), lake.days().select("day", "version")])
    return versions.group_by("day", "version").len().filter(pl.col("len") == 1)["day"].unique().to_list()


def judge_days(counted: pl.DataFrame, held: pl.DataFrame, moved: Collection[dt.date] = ()) -> Report:
    """From the rows of ``sql/health/day_counts.sql`` and what the lake's log says of its days.

    ``moved``: days to be left out.
    """
    lake = held.select("day", "usage_count", "mark")
    days = counted.join(lake, on="day", how="left").with_columns(pl.col("usage_count").fill_null(0))
    days = days.filter(~pl.col("day").is_in(list(moved)))
    lost = pl.col("usage_count") < pl.col("expired_count")
    behind = pl.col("mark").fill_null(-1) < pl.col("published_mark")
    differs = pl.col("is_raw_comparable") & (
        (pl.col("usage_count") != pl.col("raw_count")) | pl.col("mark").ne_missing(pl.col("raw_mark"))
    )
    reason = (
        pl.when(lost)
        .then(pl.lit("lost events that Postgres has no more"))
        .when(behind)
        .then(pl.lit("lacks events that are published"))
        .when(differs)
        .then(pl.lit("does not hold what Postgres does"))
    )
    wrong = days.with_columns(reason=reason).filter(pl.col("reason").is_not_null()).sort("day")
    compared = int(days["is_raw_comparable"].sum())
    return Report(
        passed=wrong.is_empty(),
        summary=f"{plural(days.height, 'day')} compared, {compared} of them with their raw rows: "
        + (f"{plural(wrong.height, 'day')} differ" if wrong.height else "the lake holds what it should"),
        figures={
            "days": days.height,
            "days_compared_with_raw_rows": compared,
            "raw_events": int(days.filter("is_raw_comparable")["raw_count"].sum()),
            "days_that_differ": wrong.height,
            "first_day_that_differs": wrong["day"].min(),
            "last_day_that_differs": wrong["day"].max(),
        },
        worst=[
            {
                "day": row["day"],
                "the lake": row["reason"],
                "in the lake": row["usage_count"],
                "in Postgres": "not counted" if row["raw_count"] is None else row["raw_count"],
                "published": row["published_count"] or 0,
            }
            for row in wrong.head(WORST).to_dicts()
        ],
    )


def usage_is_usual(installation: Installation) -> Report:
    """The last finished day had about as many events as the same weekday had in the last weeks."""
    schema = {"day": pl.Date, "usage_count": pl.Int64}
    return judge_usage(rows(installation, WEEKDAY_COUNTS, schema, {"weeks": WEEKS}))


def judge_usage(days: pl.DataFrame) -> Report:
    """From the rows of ``sql/health/weekday_counts.sql``. Weeks without any event are no example.

    Compared by median and median absolute deviation, which one odd week does not move. Their scatter is no
    smaller than that of counts by chance, and than :data:`USUAL_SCATTER`.
    """
    if days.is_empty():
        return Report(passed=True, summary="Nothing has been published yet")
    (day, count), *earlier = days.iter_rows()
    before = [events for _, events in earlier if events]
    figures = {"day": day, "events": count, "weeks_compared": len(before)}
    if len(before) < FEWEST_WEEKS:
        said = f"{plural(count, 'event')} on {day}; {plural(len(before), 'week')} are too few to compare with"
        return Report(passed=True, summary=said, figures=figures)
    median = statistics.median(before)
    deviation = MAD_TO_SIGMA * statistics.median(abs(each - median) for each in before)
    scatter = (deviation**2 + median + (USUAL_SCATTER * median) ** 2) ** 0.5
    score = (count - median) / scatter
    return Report(
        passed=abs(score) <= LARGEST_SCORE,
        summary=f"{plural(count, 'event')} on {day}, and {median:,.0f} on a usual {day:%A}",
        figures={**figures, "usual_events": median, "score": round(score, 2)},
        worst=days.select("day", events="usage_count").to_dicts(),
    )
