"""Alerts: what is far worse than its own past."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from pipeline.alerts.messages import sentence
from pipeline.database import tables
from pipeline.database.queries import query
from pipeline.web.api.answers import StatsAnswer, model_of
from pipeline.web.api.reader import Stats, answer

ALERTS = query("alerts/alerts")
LATEST_EVALUATION = query("answers/latest_evaluation")

router = APIRouter(tags=["operation"])

Alert = model_of(
    "Alert",
    tables.stats_alerts,
    prompt_name=(str | None, "The prompt's name; null where there is no prompt."),
    text=(str, "What is wrong, in a sentence; of an alert that recovered, with the figures of then."),
)


class Alerts(StatsAnswer):
    """What is raised, and what was lately."""

    evaluated_at: dt.datetime | None = Field(description="When this was last looked at; null: never.")
    alerts: list[Alert]  # type: ignore[valid-type]  # made from the table


@router.get("/alerts", summary="Alerts", response_model=Alerts)
async def alerts(
    request: Request,
    stats: Stats,
    days: Annotated[int, Query(ge=0, le=365, description="Also those that recovered in so many days.")] = 7,
) -> Response:
    """What is far worse than its own past: success rates, generation times, uses, and late stats.

    Raised ones first, the worst of them at the top. `recoveredAt` is null while an alert is raised.
    """
    found = await stats.read((ALERTS, {"days": days}), (LATEST_EVALUATION, {}))
    evaluated_at = found[1][0]["evaluated_at"] if found[1] else None
    rows = [{**row, "text": sentence(row)} for row in found[0]]
    return answer(request, found, {"evaluated_at": evaluated_at, "alerts": rows})
