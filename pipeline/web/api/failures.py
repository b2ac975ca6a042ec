"""Examples of what failed: the latest failed events of a prompt."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from pipeline.lake.period_stats import PeriodStats
from pipeline.limits import LAKE_MAX_DAYS
from pipeline.web.api.addresses import Key
from pipeline.web.api.answers import Answer
from pipeline.web.api.periods import AskedPeriod, PeriodAnswer, count_period, period_fields, period_of
from pipeline.web.api.prompts import Text
from pipeline.web.api.reader import Id, Rows, Stats, answer

EXAMPLES_MAX = 20

router = APIRouter(tags=["prompts"])


class FailedEvent(Answer):
    """An event that failed; not whose it is."""

    event_id: Id
    created_at: dt.datetime | None
    scene: str | None
    environment: str | None
    outfit: str | None
    error_kind: str | None = Field(description="Its message with numbers, ids and addresses folded.")
    generation_time_ms: float | None


class FailuresAnswer(PeriodAnswer):
    """The latest failed events."""

    failures: list[FailedEvent]


@router.get(
    "/prompts/{key:segment}/failures", summary="A prompt's latest failures", response_model=FailuresAnswer
)
async def prompt_failures(
    request: Request,
    stats: Stats,
    key: Key,
    asked: AskedPeriod,
    error_kind: Annotated[Text, Query(alias="errorKind", description="As `/errors` has it.")] = None,
    scene: Text = None,
    limit: Annotated[int, Query(ge=1, le=EXAMPLES_MAX, description="How many, at most.")] = EXAMPLES_MAX,
) -> Response:
    """Failed events of a period, by default of 30 days, the latest first; of one kind of error or scene.

    They are among those that `failureCount` of the period counts. A period has 92 days at most. Messages may
    hold ids of users, so their kinds stand for them. A prompt with the slug `top` is named by its id here.
    """
    prompt_id = str(await stats.prompt_id(key))
    period = await period_of(stats, asked, longest=LAKE_MAX_DAYS)

    def count(each: PeriodStats) -> Rows:
        return each.failures(prompt_id, limit, error_kind, scene).to_dicts()

    found, rows, may_be_kept = await count_period(request, stats, period, count)
    return answer(request, found, {**period_fields(period), "failures": rows}, may_be_kept=may_be_kept)
