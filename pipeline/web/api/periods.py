"""Which days an answer is of: four parameters that mean the same on every route that has them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import polars as pl
from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator, Field

from pipeline.answers import comparison
from pipeline.answers.comparison import today_of
from pipeline.database.queries import query
from pipeline.days import USUAL_DAYS, UTC
from pipeline.lake.period_stats import Period, PeriodStats
from pipeline.limits import PARTIALS_MAX_DAYS
from pipeline.web.api.answers import StatsAnswer
from pipeline.web.api.reader import Found, Reader

PUBLISHED_DAYS = query("answers/published_days")

ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Result = TypeVar("Result")


class Asked(NamedTuple):
    """The parameters as they were given."""

    first: dt.date | None
    last: dt.date | None
    days: int | None
    timezone: str
    is_given: bool
    """Whether a period is asked for, if only by its time zone; else the answer is of all time."""

    @property
    def period(self) -> comparison.Asked:
        """The same as the command line asks for it."""
        return comparison.Asked(self.first, self.last, self.days, self.timezone)


def _as_a_day(given: object) -> object:
    # A number would be seconds since 1970, and of a moment only its date would count, whatever its offset.
    if isinstance(given, str) and not ISO_DAY.fullmatch(given):
        raise ValueError("give a day as YYYY-MM-DD, such as 2026-01-31")
    return given


Day = Annotated[dt.date, BeforeValidator(_as_a_day)]
"""A day as a parameter."""


async def _asked(
    first: Annotated[
        Day | None,
        Query(alias="from", description="The first day; by default 30 days end with `to`."),
    ] = None,
    last: Annotated[
        Day | None,
        Query(alias="to", description="The last day, included; by default that of `asOf`."),
    ] = None,
    days: Annotated[
        int | None,
        Query(ge=1, description="How many days end with `to`; not with `from`."),
    ] = None,
    timezone: Annotated[
        str | None,
        Query(description="Whose days, of the IANA database; by default UTC.", examples=["Europe/Berlin"]),
    ] = None,
) -> Asked:
    is_given = any(each is not None for each in (first, last, days, timezone))
    return Asked(first, last, days, UTC if timezone is None else timezone, is_given)


AskedPeriod = Annotated[Asked, Depends(_asked)]


class PeriodAnswer(StatsAnswer):
    """An answer about some days, or about all time."""

    first: dt.date | None = Field(
        default=None, alias="from", description="The first day, if a period was asked for."
    )
    last: dt.date | None = Field(default=None, alias="to", description="The last day, which counts.")
    timezone: str | None = Field(default=None, description="Whose days.")


async def last_day(stats: Reader, timezone: str) -> dt.date:
    """The day of the last publish; today before the first.

    :raises InputError: there is no such time zone.
    """
    return today_of((await stats.read()).freshness["as_of"], timezone)


async def period_of(
    stats: Reader, asked: Asked, *, usual: int = USUAL_DAYS, longest: int = PARTIALS_MAX_DAYS
) -> Period:
    """The days that are asked for, by default the ``usual`` number of them.

    ``longest``: how many there may be, of UTC; of another time zone a quarter at most.

    :raises InputError: there are too many, or none.
    """
    today = await last_day(stats, asked.timezone)
    return Period(comparison.period(asked.period, today, longest, usual), asked.timezone)


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
