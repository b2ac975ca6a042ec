"""Usage over time: of a prompt, of all, by scene."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from pipeline.answers.comparison import period_against_before, with_before
from pipeline.database.queries import query
from pipeline.days import ONE_DAY, UTC
from pipeline.lake import series
from pipeline.lake.period_stats import Period, PeriodStats
from pipeline.stats.change_point import DAYS_MIN, Day, change_point
from pipeline.web.api.addresses import Key, Keys, asked_keys
from pipeline.web.api.answers import Answer, StatsAnswer
from pipeline.web.api.comparison import ComparedDays, DifferenceOfRates
from pipeline.web.api.periods import (
    Asked,
    AskedPeriod,
    PeriodAnswer,
    count_period,
    last_day,
    period_fields,
    period_of,
)
from pipeline.web.api.problems import Problem
from pipeline.web.api.prompts import PromptAnswer, prompt_named
from pipeline.web.api.reader import Id, Reader, Rows, Stats, answer

PROMPT_SERIES = query("web/prompt_series")
OVERVIEW = query("web/overview")
OVERVIEW_SERIES = query("web/overview_series")
SPARKLINES = query("web/sparklines")

SERIES_MAX_DAYS = 1_830
"""Of a series that is published."""

DAYS_OF_HOURS = 7
SPARKLINES_MAX = 100

router = APIRouter(tags=["history"])


class Bucket(StrEnum):
    """The length of a series' periods."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class DayBucket(StrEnum):
    """The length of periods that are made of days."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class SeriesPeriod(Answer):
    """What happened in an hour, day, week or month."""

    period: str = Field(description="Its first day, or its hour in UTC.", examples=["2026-01-31"])
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None


class SeriesAnswer(StatsAnswer):
    """Usage over time, periods without use included."""

    bucket: Bucket
    timezone: str
    first: dt.date = Field(alias="from", description="The first day.")
    last: dt.date = Field(alias="to", description="The last day; it is counted.")
    series: list[SeriesPeriod]


class ChangePoint(Answer):
    """The day since which the success rate is another, with the rates before and since, in percent."""

    day: dt.date
    before_usage_count: int
    before_success_rate: float
    before_success_rate_lower: float = Field(description="The lower end of its 95 % Wilson interval.")
    before_success_rate_upper: float
    since_usage_count: int
    since_success_rate: float
    since_success_rate_lower: float
    since_success_rate_upper: float


class PromptSeriesAnswer(SeriesAnswer):
    """Usage of a prompt over time, and when its success rate changed."""

    change_point: ChangePoint | None = Field(
        description="Found in the days of the period, whatever the bucket; null if chance explains them, or"
        f" fewer than {DAYS_MIN} had any use."
    )


class OverviewAnswer(SeriesAnswer):
    """Usage of all prompts, in sum and over time, periods without use included."""

    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None = Field(description="Percent; null without use.", examples=[91.5])
    compared: ComparedDays | None = Field(
        description="Its whole days: without that of `asOf`, which is not over; null if there are none."
    )
    previous: ComparedDays | None = Field(description="As many days of the period before.")
    difference: DifferenceOfRates | None = Field(description="How the success rates of these two differ.")
    prompt_count: int = Field(description="Prompts that were used.")


class Sparkline(Answer):
    """A prompt's use day by day."""

    prompt_id: Id
    usage_counts: list[int] = Field(description="One a day, zeros included.", examples=[[3, 0, 7]])


class SparklinesAnswer(PeriodAnswer):
    """Use day by day of several prompts, in the order asked for."""

    prompts: list[Sparkline]


class ScenePeriod(Answer):
    """What happened in a scene in a day, week or month."""

    scene: str | None = Field(description="Null is that of events without one.", examples=["cafe"])
    period: dt.date = Field(description="Its first day.", examples=["2026-01-31"])
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float


class SceneSeriesAnswer(PeriodAnswer):
    """Usage by scene over time; periods without use are left out."""

    bucket: DayBucket
    series: list[ScenePeriod]


class ErrorPeriod(Answer):
    """How often something went wrong in a day, week or month."""

    error_kind: str = Field(description="The message with numbers, ids and addresses folded.")
    period: dt.date = Field(description="Its first day.", examples=["2026-01-31"])
    error_count: int


class ErrorSeriesAnswer(PeriodAnswer):
    """Errors by kind over time; periods without any are left out."""

    bucket: DayBucket
    series: list[ErrorPeriod]


@router.get("/overview", summary="All prompts over time", response_model=OverviewAnswer)
async def overview(
    request: Request, stats: Stats, asked: AskedPeriod, bucket: Bucket = Bucket.DAY
) -> Response:
    """What all prompts add up to, in sum and over time, as `/prompts/{key}/series` has it of one.

    Those that are deleted or not active too. An event without a prompt is in no prompt's stats, and so in no
    number here; `/scenes` counts it.
    """
    period = await _period(stats, asked, bucket)
    days = period.days
    before, whole = with_before(days, await last_day(stats, period.timezone))
    compared = series.Compared(before.first, before.last + ONE_DAY, whole.last + ONE_DAY)
    may_be_kept = True
    if _is_published(bucket, period):
        values = {
            "bucket": bucket.value,
            "from_day": days.first,
            "to_day": days.last,
            **compared._asdict(),
        }
        found = await stats.read((OVERVIEW, values), (OVERVIEW_SERIES, values))
        totals, rows = found[0][0], found[1]
    else:
        read = series.period_read(days, compared, period.timezone)
        count = partial(series.overview, bucket=bucket.value, days=days, compared=compared)
        found, (totals, counted), may_be_kept = await count_period(request, stats, read, count)
        rows = counted.to_dicts()
    counts = {name: totals.pop(name) for name in series.COMPARED}
    body = {
        "bucket": bucket,
        **period_fields(period),
        **totals,
        **period_against_before(before, whole, counts),
        "series": _with_periods(rows, bucket),
    }
    return answer(request, found, body, may_be_kept=may_be_kept)


@router.get(
    "/prompts/sparklines", summary="Prompts day by day", response_model=SparklinesAnswer | PromptAnswer
)
async def sparklines(request: Request, stats: Stats, asked: AskedPeriod, ids: Keys = None) -> Response:
    """How often each of several prompts, 100 at most, was used on each day of a period.

    Without `ids`: the prompt with the slug `sparklines`, as `GET /prompts/{key}` has it.
    """
    if ids is None:
        return await prompt_named(request, stats, "sparklines")
    prompt_ids = [str(each) for each in await stats.prompt_ids(asked_keys(ids, SPARKLINES_MAX))]
    period = await period_of(stats, asked)
    days = period.days
    may_be_kept = True
    if period.timezone == UTC:
        values = {"prompt_ids": prompt_ids, "from_day": days.first, "to_day": days.last}
        found = await stats.read((SPARKLINES, values))
        rows = found[0]
    else:
        found, used, may_be_kept = await count_period(
            request, stats, period, lambda each: each.days(prompt_ids)
        )
        counts = {(prompt_id, day): count for prompt_id, day, count in used.iter_rows()}
        rows = [
            {
                "prompt_id": prompt_id,
                "usage_counts": [counts.get((prompt_id, day), 0) for day in days.days()],
            }
            for prompt_id in prompt_ids
        ]
    body = {**period_fields(period), "prompts": rows}
    return answer(request, found, body, may_be_kept=may_be_kept)


@router.get("/prompts/{key:segment}/series", summary="A prompt over time", response_model=PromptSeriesAnswer)
async def prompt_series(
    request: Request, stats: Stats, key: Key, asked: AskedPeriod, bucket: Bucket = Bucket.DAY
) -> Response:
    """Usage by hour, day, week (from Monday) or month, both ends included.

    By days of UTC from the published stats. Hours (of UTC, a week at most) and the days of other time zones
    (a quarter at most) are counted from the raw events in the lake, as of the same publish. Undated events
    are in no hour, and in no day of another time zone.

    `changePoint` is the day since which the success rate is another, at most one. The last day counts though
    it may not be over. In 100 series without a change it is found in 1 at most.
    """
    period = await _period(stats, asked, bucket)
    days = period.days
    prompt_id = await stats.prompt_id(key)
    may_be_kept = True
    # The first is what is asked for, the last are days: most often both are one.
    buckets = dict.fromkeys((bucket.value, Bucket.DAY.value))
    if _is_published(bucket, period):
        values = {"prompt_id": prompt_id, "from_day": days.first, "to_day": days.last}
        found = await stats.read(*((PROMPT_SERIES, {**values, "bucket": each}) for each in buckets))
        counted = found.results
    else:

        def count(each: PeriodStats) -> list[Rows]:
            return [series.prompt_series(each, str(prompt_id), length, days).to_dicts() for length in buckets]

        found, counted, may_be_kept = await count_period(request, stats, period, count)
    changed = _change_point(counted[-1])
    body = {
        "bucket": bucket,
        **period_fields(period),
        "change_point": changed,
        "series": _with_periods(counted[0], bucket),
    }
    return answer(request, found, body, may_be_kept=may_be_kept)


@router.get(
    "/prompts/{key:segment}/scenes/series",
    summary="A prompt by scene over time",
    response_model=SceneSeriesAnswer,
)
async def scene_series(
    request: Request,
    stats: Stats,
    key: Key,
    asked: AskedPeriod,
    bucket: DayBucket = DayBucket.DAY,
    limit: Annotated[
        int, Query(ge=1, le=200, description="Of how many scenes, at most: the most used.")
    ] = 200,
) -> Response:
    """Usage of each scene by day, week (from Monday) or month, only where there was any.

    In order of time, then the most used first.
    """

    def count(each: PeriodStats, prompt_id: str) -> pl.DataFrame:
        return each.series(prompt_id, "scene", bucket.value, limit).rename({"value": "scene"})

    return await _value_series(request, stats, key, asked, bucket, count)


# A prompt's errors by value are at /prompts/{key}/errors/{by}.
@router.get(
    "/prompts/{key:segment}/errors/series",
    summary="A prompt's errors over time",
    response_model=ErrorSeriesAnswer,
)
async def error_series(
    request: Request,
    stats: Stats,
    key: Key,
    asked: AskedPeriod,
    bucket: DayBucket = DayBucket.DAY,
    limit: Annotated[
        int, Query(ge=1, le=200, description="Of how many kinds, at most: the most frequent.")
    ] = 50,
) -> Response:
    """Errors of each kind by day, week (from Monday) or month, only where there was any.

    In order of time, then the most frequent first.
    """

    def count(each: PeriodStats, prompt_id: str) -> pl.DataFrame:
        rows = each.series(prompt_id, "error", bucket.value, limit)
        return rows.select("period", error_kind="value", error_count="usage_count")

    return await _value_series(request, stats, key, asked, bucket, count)


async def _value_series(
    request: Request,
    stats: Reader,
    key: str,
    asked: Asked,
    bucket: DayBucket,
    count: Callable[[PeriodStats, str], pl.DataFrame],
) -> Response:
    """What ``count`` finds of a prompt over time; its second argument is the prompt's id."""
    prompt_id = str(await stats.prompt_id(key))
    period = await period_of(stats, asked)
    found, rows, may_be_kept = await count_period(request, stats, period, lambda each: count(each, prompt_id))
    body = {"bucket": bucket, **period_fields(period), "series": rows.to_dicts()}
    return answer(request, found, body, may_be_kept=may_be_kept)


def _is_published(bucket: Bucket, period: Period) -> bool:
    """Whether the stats have it; the lake has what they have not."""
    return bucket is not Bucket.HOUR and period.timezone == UTC


async def _period(stats: Stats, asked: Asked, bucket: Bucket) -> Period:
    """The days of a series, by default the last 30, or 7 by hour.

    :raises InputError: there are too many.
    :raises Problem: 422, hours of another time zone than UTC are asked for.
    """
    if bucket is not Bucket.HOUR:
        return await period_of(stats, asked, longest=SERIES_MAX_DAYS)
    if asked.timezone != UTC:
        raise Problem(422, "Hours are those of UTC: leave timezone out")
    return await period_of(stats, asked, usual=DAYS_OF_HOURS, longest=DAYS_OF_HOURS)


def _change_point(rows: Rows) -> dict[str, Any] | None:
    """When the success rate changed, of a series by day."""
    found = change_point([Day(_day(row["period"]), row["usage_count"], row["success_count"]) for row in rows])
    return found._asdict() if found else None


def _day(period: dt.date) -> dt.date:
    return period.date() if isinstance(period, dt.datetime) else period


def _with_periods(rows: Rows, bucket: Bucket) -> list[dict[str, Any]]:
    """The rows with their periods as text: a day, or the moment at which an hour begins."""
    for row in rows:
        period = row["period"]
        row["period"] = (period if bucket is Bucket.HOUR else _day(period)).isoformat()
    return rows
