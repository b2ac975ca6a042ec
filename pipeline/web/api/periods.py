"""Which days an answer is of: four parameters that mean the same on every route that has them."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import polars as pl
from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from pipeline.database.queries import query
from pipeline.days import ONE_DAY, USUAL_DAYS, UTC, DayRange, timezones
from pipeline.lake.period_stats import Period, PeriodStats
from pipeline.limits import LAKE_MAX_DAYS, PARTIALS_MAX_DAYS
from pipeline.web.api.answers import StatsAnswer
from pipeline.web.api.problems import Problem
from pipeline.web.api.reader import Found, Reader

PUBLISHED_DAYS = query("answers/published_days")

Result = TypeVar("Result")


class Asked(NamedTuple):
    """The parameters as they were given."""

    first: dt.date | None
    last: dt.date | None
    days: int | None
    timezone: str

    @property
    def is_given(self) -> bool:
        """Whether a period is asked for; else the answer is of all time."""
        return self != Asked(None, None, None, UTC)


async def _asked(
    first: Annotated[
        dt.date | None,
        Query(alias="from", description="The first day; by default 30 days end with `to`."),
    ] = None,
    last: Annotated[
        dt.date | None,
        Query(alias="to", description="The last day, included; by default that of `asOf`."),
    ] = None,
    days: Annotated[
        int | None,
        Query(ge=1, le=PARTIALS_MAX_DAYS, description="How many days end with `to`; not with `from`."),
    ] = None,
    timezone: Annotated[
        str, Query(description="Whose days, of the IANA database.", examples=["Europe/Berlin"])
    ] = UTC,
) -> Asked:
    return Asked(first, last, days, timezone)


AskedPeriod = Annotated[Asked, Depends(_asked)]


class PeriodAnswer(StatsAnswer):
    """An answer about some days, or about all time."""

    first: dt.date | None = Field(
        default=None, alias="from", description="The first day, if a period was asked for."
    )
    last: dt.date | None = Field(default=None, alias="to", description="The last day, which counts.")
    timezone: str | None = Field(default=None, description="Whose days.")


def zone_named(name: str) -> zoneinfo.ZoneInfo:
    """The time zone.

    :raises Problem: 422, there is none of this name.
    """
    if name not in timezones():
        raise Problem(422, f"timezone: {name!r} is no name of the IANA database, such as Europe/Berlin")
    return zoneinfo.ZoneInfo(name)


async def last_day(stats: Reader, zone: dt.tzinfo) -> dt.date:
    """The day of the last publish; today before the first."""
    found = await stats.read()
    as_of: dt.datetime = found.freshness["as_of"] or dt.datetime.now(dt.UTC)
    return as_of.astimezone(zone).date()


async def period_of(
    stats: Reader, asked: Asked, *, usual: int = USUAL_DAYS, longest: int = PARTIALS_MAX_DAYS
) -> Period:
    """The days that are asked for, by default the ``usual`` number of them.

    ``longest``: how many there may be, of UTC; of another time zone a quarter at most.

    :raises Problem: 422, there are too many, or none.
    """
    zone = zone_named(asked.timezone)
    last = asked.last or await last_day(stats, zone)
    if asked.days and asked.first:
        raise Problem(422, "Give from or days, not both")
    if asked.timezone != UTC:
        longest = min(longest, LAKE_MAX_DAYS)
    usual = asked.days or usual
    first = asked.first or last - min(usual - 1, last.toordinal() - 2) * ONE_DAY
    if not 0 <= (last - first).days < longest or first == dt.date.min or last == dt.date.max:
        what = "" if asked.timezone == UTC else f", the most for days of another time zone than {UTC}"
        raise Problem(422, f"From {first} to {last} is not between 1 and {longest} days{what}")
    return Period(DayRange(first, last), asked.timezone)


class Counted(NamedTuple):
    """What was counted from the lake. ``found``: as of when; ``may_be_kept``: as :func:`answer` has it."""

    found: Found
    result: Any
    may_be_kept: bool


async def count_period(
    request: Request, stats: Reader, period: Period, count: Callable[[PeriodStats], Result]
) -> Counted:
    """Counts a period from the state of the lake that the published stats were made from."""
    days = period.touched
    found = await stats.read((PUBLISHED_DAYS, {"from_day": days.first, "to_day": days.last}))
    published = {row["day"]: row["events_version"] for row in found[0]}
    state = found.freshness["refresh_id"], period
    kept: dict[object, PeriodStats] = request.app.state.kept_periods
    of_period = kept.get(state) or PeriodStats(request.app.state.settings.lake, period, published)
    if request.app.state.kept_prompts and period.timezone == UTC and state not in kept:
        await run_in_threadpool(of_period.keep, request.app.state.kept_prompts)
        kept[state] = of_period
    result = await run_in_threadpool(count, of_period)
    return Counted(found, result, of_period.is_as_published)


def as_measured(rows: pl.DataFrame) -> str:
    """Rows for a query's parameter ``measured``, as JSON."""
    return msgspec.json.encode(rows.to_dicts()).decode()


def period_fields(period: Period) -> dict[str, object]:
    """What an answer says of its period."""
    return {"from": period.days.first, "to": period.days.last, "timezone": period.timezone}
