"""Usage over time: of a prompt, of all, by scene."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from enum import StrEnum
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from pipeline.api.addresses import Key, Keys, asked_keys
from pipeline.api.answers import Answer, StatsAnswer
from pipeline.api.problems import Problem
from pipeline.api.prompts import PromptAnswer, prompt_named
from pipeline.api.reader import Id, Rows, Stats, answer
from pipeline.days import ONE_DAY, DayRange
from pipeline.lake import prompt_partials, series
from pipeline.queries import query

PROMPT_SERIES = query("api/prompt_series")
OVERVIEW = query("api/overview")
OVERVIEW_SERIES = query("api/overview_series")
SPARKLINES = query("api/sparklines")

SERIES_MAX_DAYS = 1_830
SERIES_DAYS = 30
LAKE_MAX_DAYS = 92
"""Of a series that is counted from the raw events."""

DAYS_OF_HOURS = 7
PARTIALS_MAX_DAYS = 366
"""Of a series that is merged from daily partials."""

SPARKLINES_MAX = 100
SPARKLINES_MAX_DAYS = 365
UTC = "UTC"

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


First = Annotated[dt.date | None, Query(alias="from", description="By default 30 days before the last.")]
Last = Annotated[dt.date | None, Query(alias="to", description="By default the day of `asOf`.")]
TimeZone = Annotated[str, Query(description="Whose days, of the IANA database.", examples=["Europe/Berlin"])]


class Period(Answer):
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
    series: list[Period]


class OverviewAnswer(SeriesAnswer):
    """Usage of all prompts, in sum and over time, periods without use included."""

    first: dt.date = Field(alias="from", description="The first day.")
    last: dt.date = Field(alias="to", description="The last day; it is counted.")
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None = Field(description="Percent; null without use.", examples=[91.5])
    compared_usage_count: int = Field(
        description="Events of its whole days: without those of the day of `asOf`."
    )
    previous_usage_count: int = Field(description="Events of as many days, of the period before.")
    prompt_count: int = Field(description="Prompts that were used.")


class Sparkline(Answer):
    """A prompt's use day by day."""

    prompt_id: Id
    usage_counts: list[int] = Field(description="One a day, zeros included.", examples=[[3, 0, 7]])


class SparklinesAnswer(StatsAnswer):
    """Use day by day of several prompts, in the order asked for."""

    first: dt.date = Field(alias="from", description="The day of each first count (UTC).")
    last: dt.date = Field(alias="to", description="The day of each last one.")
    prompts: list[Sparkline]


class ScenePeriod(Answer):
    """What happened in a scene in a day, week or month."""

    scene: str | None = Field(description="Null is that of events without one.", examples=["cafe"])
    period: dt.date = Field(description="Its first day.", examples=["2026-01-31"])
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float


class SceneSeriesAnswer(StatsAnswer):
    """Usage by scene over time; periods without use are left out."""

    bucket: DayBucket
    series: list[ScenePeriod]


@router.get("/overview", summary="All prompts over time", response_model=OverviewAnswer)
async def overview(
    request: Request,
    stats: Stats,
    bucket: Bucket = Bucket.DAY,
    first: First = None,
    last: Last = None,
    timezone: TimeZone = UTC,
) -> Response:
    """What all prompts add up to, in sum and over time, as `/prompts/{key}/series` has it of one.

    Those that are deleted or not active too. An event without a prompt is in no prompt's stats, and so in no
    number here; `/scenes` counts it.
    """
    today = await _last_day(stats, _zone(timezone))
    days = _days(bucket, timezone, first, last or today)
    compared = _compared(days, today)
    if _is_published(bucket, timezone):
        values = {
            "bucket": bucket.value,
            "from_day": days.first,
            "to_day": days.last,
            **compared._asdict(),
        }
        found = await stats.read((OVERVIEW, values), (OVERVIEW_SERIES, values))
        totals, rows = found[0][0], found[1]
    else:
        found = await stats.read()
        totals, counted = await run_in_threadpool(
            series.overview,
            request.app.state.settings.lake,
            bucket.value,
            timezone,
            days,
            compared,
        )
        rows = counted.to_dicts()
    body = {
        "bucket": bucket,
        "timezone": timezone,
        "from": days.first,
        "to": days.last,
        **totals,
        "series": _with_periods(rows, bucket),
    }
    return answer(request, found, body)


@router.get(
    "/prompts/sparklines", summary="Prompts day by day", response_model=SparklinesAnswer | PromptAnswer
)
async def sparklines(
    request: Request,
    stats: Stats,
    ids: Keys = None,
    days: Annotated[
        int, Query(ge=2, le=SPARKLINES_MAX_DAYS, description="How many, up to that of `asOf` (UTC).")
    ] = 30,
) -> Response:
    """How often each of several prompts, 100 at most, was used on each of the last days.

    Without `ids`: the prompt with the slug `sparklines`, as `GET /prompts/{key}` has it.
    """
    if ids is None:
        return await prompt_named(request, stats, "sparklines")
    prompt_ids = [str(each) for each in await stats.prompt_ids(asked_keys(ids, SPARKLINES_MAX))]
    last = await _last_day(stats, dt.UTC)
    first = last - (days - 1) * ONE_DAY
    found = await stats.read((SPARKLINES, {"prompt_ids": prompt_ids, "from_day": first, "to_day": last}))
    return answer(request, found, {"from": first, "to": last, "prompts": found[0]})


@router.get("/prompts/{key:segment}/series", summary="A prompt over time", response_model=SeriesAnswer)
async def prompt_series(
    request: Request,
    stats: Stats,
    key: Key,
    bucket: Bucket = Bucket.DAY,
    first: First = None,
    last: Annotated[dt.date | None, Query(alias="to", description="By default today.")] = None,
    timezone: TimeZone = UTC,
) -> Response:
    """Usage by hour, day, week (from Monday) or month, both ends included.

    By default from the published stats, by days of UTC. Hours (of UTC, a week at most) and the days of other
    time zones (a quarter at most) are counted from the raw events in the lake, and may hold later events than
    `asOf` says. Undated events are in no hour, and in no day of another time zone.
    """
    zone = _zone(timezone)
    days = _days(bucket, timezone, first, last or dt.datetime.now(zone).date())
    prompt_id = await stats.prompt_id(key)
    if _is_published(bucket, timezone):
        values = {"prompt_id": prompt_id, "bucket": bucket.value, "from_day": days.first, "to_day": days.last}
        found = await stats.read((PROMPT_SERIES, values))
        rows = found[0]
    else:
        found = await stats.read()
        counted = await run_in_threadpool(
            series.prompt_series,
            request.app.state.settings.lake,
            str(prompt_id),
            bucket.value,
            timezone,
            days,
        )
        rows = counted.to_dicts()
    body = {"bucket": bucket, "timezone": timezone, "series": _with_periods(rows, bucket)}
    return answer(request, found, body)


@router.get(
    "/prompts/{key:segment}/scenes/series",
    summary="A prompt by scene over time",
    response_model=SceneSeriesAnswer,
)
async def scene_series(
    request: Request,
    stats: Stats,
    key: Key,
    bucket: DayBucket = DayBucket.DAY,
    first: First = None,
    last: Last = None,
    limit: Annotated[
        int, Query(ge=1, le=200, description="Of how many scenes, at most: the most used.")
    ] = 200,
) -> Response:
    """Usage of each scene by day, week (from Monday) or month of UTC, only where there was any.

    In order of time, then the most used first; a year at most. Counted from the lake, so it may hold later
    events than `asOf` says.
    """
    last = last or await _last_day(stats, dt.UTC)
    days = _days(bucket, UTC, first, last, PARTIALS_MAX_DAYS)
    prompt_id = str(await stats.prompt_id(key))
    found = await stats.read()
    counted = await run_in_threadpool(
        prompt_partials.scene_series, request.app.state.settings.lake, prompt_id, bucket.value, days, limit
    )
    return answer(request, found, {"bucket": bucket, "series": counted.to_dicts()})


@cache
def _timezones() -> frozenset[str]:
    """The names that there are; to look for them takes longer than most answers."""
    # That of this machine is no name of the IANA database, and not the asker's.
    return frozenset(zoneinfo.available_timezones() - {"localtime"})


def _zone(name: str) -> zoneinfo.ZoneInfo:
    if name not in _timezones():
        raise Problem(422, f"timezone: {name!r} is no name of the IANA database, such as Europe/Berlin")
    return zoneinfo.ZoneInfo(name)


async def _last_day(stats: Stats, zone: dt.tzinfo) -> dt.date:
    """The day of the last publish; today before the first."""
    found = await stats.read()
    as_of: dt.datetime = found.freshness["as_of"] or dt.datetime.now(dt.UTC)
    return as_of.astimezone(zone).date()


def _is_published(bucket: Bucket, timezone: str) -> bool:
    """Whether the stats have it; the lake has what they have not."""
    return bucket is not Bucket.HOUR and timezone == UTC


def _days(
    bucket: Bucket | DayBucket,
    timezone: str,
    first: dt.date | None,
    last: dt.date,
    longest: int = SERIES_MAX_DAYS,
) -> DayRange:
    """The days of a series, by default the last 30, or 7 by hour.

    :raises Problem: 422, there are too many, or hours of another time zone than UTC.
    """
    if bucket is Bucket.HOUR and timezone != UTC:
        raise Problem(422, "Hours are those of UTC: leave timezone out")
    usual = SERIES_DAYS
    if bucket is Bucket.HOUR:
        usual = longest = DAYS_OF_HOURS
    elif timezone != UTC:
        longest = LAKE_MAX_DAYS
    first = first or last - min(usual - 1, last.toordinal() - 2) * ONE_DAY
    if not 0 <= (last - first).days < longest or first == dt.date.min or last == dt.date.max:
        raise Problem(422, f"From {first} to {last} is not between 1 and {longest} days")
    return DayRange(first, last)


def _compared(days: DayRange, today: dt.date) -> series.Compared:
    """What of a period can be compared with the one before: an unfinished day would make it seem smaller."""
    length = (days.last - days.first).days + 1
    # Before the year 1 there is nothing to count.
    before = dt.date.fromordinal(max(days.first.toordinal() - length, dt.date.min.toordinal() + 1))
    end = max(min(days.last + ONE_DAY, today), days.first)
    return series.Compared(before, before + (end - days.first), end)


def _with_periods(rows: Rows, bucket: Bucket) -> list[dict[str, Any]]:
    """The rows with their periods as text: a day, or the moment at which an hour begins."""
    for row in rows:
        period = row["period"]
        is_moment = isinstance(period, dt.datetime)
        row["period"] = (period if bucket is Bucket.HOUR or not is_moment else period.date()).isoformat()
    return rows
