"""``GET /prompts/difference``: whether one prompt is better than another, or than it was before a date."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from pipeline.answers.comparison import (
    COMPARED_USES,
    PROMPTS_MAX,
    Asked,
    Window,
    compared_answer,
    uses_in_lake,
    windows,
)
from pipeline.days import UTC
from pipeline.errors import NotFoundError
from pipeline.lake.period_stats import Period
from pipeline.web.api.addresses import Keys, asked_keys
from pipeline.web.api.answers import Answer, StatsAnswer
from pipeline.web.api.periods import Day, count_period, last_day
from pipeline.web.api.prompts import PromptAnswer, prompt_named
from pipeline.web.api.reader import Id, Stats, answer

router = APIRouter(tags=["prompts"])


class ComparedDays(Answer):
    """How prompts did in the days that are compared."""

    first: dt.date = Field(alias="from", description="The first day.")
    last: dt.date = Field(alias="to", description="The last day; it is counted.")
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None
    success_rate_lower: float | None
    success_rate_upper: float | None


class ComparedPrompt(ComparedDays):
    """How a prompt did in the days that are compared."""

    label: str = Field(description="What the verdict calls it.")
    prompt_id: Id
    slug: str | None
    name: str | None


class DifferenceOfRates(Answer):
    """How the success rate of one differs from that of the first."""

    label: str
    baseline: str
    points: float | None = Field(description="Percentage points above the first; null if one was not used.")
    points_lower: float | None = Field(description="The lower end of its interval (Newcombe).")
    points_upper: float | None
    confidence: float = Field(description="Percent: of several, each is surer, so that all together are 95.")
    verdict: str = Field(examples=["cafe is better than studio by 4.1 to 9.3 points"])


class DifferenceAnswer(StatsAnswer):
    """Each with its success rate, and how those after the first differ from it."""

    timezone: str
    prompts: list[ComparedPrompt]
    differences: list[DifferenceOfRates]


@router.get("/prompts/difference", summary="Is one better?", response_model=DifferenceAnswer | PromptAnswer)
async def difference(
    request: Request,
    stats: Stats,
    *,
    ids: Keys = None,
    first: Annotated[Day | None, Query(alias="from")] = None,
    last: Annotated[Day | None, Query(alias="to", description="By default the day of `asOf`.")] = None,
    days: Annotated[int | None, Query(ge=1, description="How many, up to the last; by default 30.")] = None,
    before: Annotated[
        Day | None, Query(description="Of one prompt: compare the days since this one with those before.")
    ] = None,
    timezone: Annotated[str, Query(description="Whose days, of the IANA database.")] = UTC,
) -> Response:
    """Whether the success rates of up to 4 prompts differ, each from the first, with the interval of that.

    One prompt alone: the whole days of the period, with as many of the period before. With `before`, its
    whole days since that date with as many before it, 28 at most by default.
    Days of another time zone than UTC are counted from the lake, 92 at most. Without `ids`: the prompt with
    the slug `difference`.
    """
    if ids is None:
        return await prompt_named(request, stats, "difference")
    prompt_ids = await stats.prompt_ids(asked_keys(ids, PROMPTS_MAX))
    today = await last_day(stats, timezone)
    compared = windows(prompt_ids, Asked(first, last, days, timezone, before), today)
    found = await stats.read(*((COMPARED_USES, each.parameters()) for each in compared))
    rows = [_only(rows, each) for rows, each in zip(found.results, compared, strict=True)]
    if timezone != UTC:
        for row, each in zip(rows, compared, strict=True):
            count = partial(uses_in_lake, prompt_id=each.prompt_id)
            counted = await count_period(request, stats, Period(each.days, timezone), count)
            row.update(counted.result)
    return answer(request, found, compared_answer(compared, rows, timezone))


def _only(rows: list[dict[str, object]], window: Window) -> dict[str, object]:
    if not rows:
        raise NotFoundError(f"Comparing the prompt {window.prompt_id}", "it was just removed", "Leave it out")
    return rows[0]
