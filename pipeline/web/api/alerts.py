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
    prompt_name=(str | None, "The prompt's name; null if the alert is not about a prompt."),
    text=(str, "What is wrong, as a sentence. An alert that recovered has the figures of that time."),
)


class Alerts(StatsAnswer):
    """Raised alerts, and those that recovered recently."""

    evaluated_at: dt.datetime | None = Field(description="When alerts were last evaluated; null if never.")
    alerts: list[Alert]  # type: ignore[valid-type]  # made from the table


@router.get("/alerts", summary="Alerts", response_model=Alerts)
async def alerts(
    request: Request,
    stats: Stats,
    days: Annotated[int, Query(ge=0, le=365, description="Include alerts that recovered within N days.")] = 7,
) -> Response:
    """Lists what is far worse than its own past: success rates, generation times, uses, and late stats.

    Raised alerts come first, the worst of them at the top. `recoveredAt` is null while an alert is raised.
    """
    found = await stats.read((ALERTS, {"days": days}), (LATEST_EVALUATION, {}))
    evaluated_at = found[1][0]["evaluated_at"] if found[1] else None
    rows = [{**row, "text": sentence(row)} for row in found[0]]
    return answer(request, found, {"evaluated_at": evaluated_at, "alerts": rows})
