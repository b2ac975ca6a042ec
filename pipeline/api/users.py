"""A user's prompts and favourites."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from pipeline import sessions
from pipeline.api.answers import Answer, StatsAnswer
from pipeline.api.connections import write
from pipeline.api.reader import Id, Key, Stats, UserId, answer, as_text, by_key, no_prompt
from pipeline.limits import FAVORITES_MAX
from pipeline.queries import query

USER_PROMPTS = query("api/user_prompts")
ADD_FAVORITE = query("api/add_favorite")
REMOVE_FAVORITE = query("api/remove_favorite")
ORDER_FAVORITES = query("api/order_favorites")

router = APIRouter(tags=["users"])


class UserPrompt(Answer):
    """A prompt that a user used or has as a favourite."""

    prompt_id: Id
    slug: str | None
    name: str
    category: str | None
    is_favorite: bool
    sort_order: int | None = Field(description="Its place among the favourites; null if it is none.")
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None
    avg_generation_time_ms: float | None
    last_used_at: dt.datetime | None


class UserPromptsAnswer(StatsAnswer):
    """A user's prompts. Their counters follow at a slower pace: ``userStatsAsOf``."""

    user_stats_as_of: dt.datetime | None
    prompts: list[UserPrompt]


@router.get(
    "/users/{user_id}/prompts",
    summary="A user's prompts",
    response_model=UserPromptsAnswer,
)
async def user_prompts(
    request: Request,
    stats: Stats,
    user_id: UserId,
    limit: Annotated[int, Query(ge=1, le=FAVORITES_MAX, description="How many, at most.")] = 50,
) -> Response:
    """Favourites first, in the user's order, then the most used."""
    found = await stats.read((USER_PROMPTS, {"user_id": user_id, "limit": limit}))
    body = {
        "user_stats_as_of": found.freshness["user_stats_as_of"],
        "prompts": found[0],
    }
    return answer(request, found, body)


@router.put("/users/{user_id}/favorites/{key}", summary="Add a favourite", status_code=204)
async def add_favorite(request: Request, user_id: UserId, key: Key) -> None:
    """Makes the prompt the last of the user's favourites; one that is there already stays where it is."""
    if not await _run(request, ADD_FAVORITE, {"user_id": user_id, **by_key(key)}):
        raise no_prompt(key)


@router.delete("/users/{user_id}/favorites/{key}", summary="Remove a favourite", status_code=204)
async def remove_favorite(request: Request, user_id: UserId, key: Key) -> None:
    """Takes the prompt from the user's favourites; one that was none stays none."""
    await _run(request, REMOVE_FAVORITE, {"user_id": user_id, **by_key(key)})


@router.put("/users/{user_id}/favorites", summary="Order the favourites", status_code=204)
async def order_favorites(
    request: Request,
    user_id: UserId,
    prompt_ids: Annotated[
        list[str], Body(alias="promptIds", embed=True, min_length=1, max_length=FAVORITES_MAX)
    ],
) -> None:
    """Puts the user's favourites into this order; those that are not named follow, as they were."""
    await _run(
        request, ORDER_FAVORITES, {"user_id": user_id, "prompt_ids": [as_text(each) for each in prompt_ids]}
    )


async def _run(request: Request, statement: str, values: dict[str, object]) -> bool:
    """Runs a statement that writes; its answer, true if it has none."""

    def run() -> bool:
        # Each of them leaves behind the same, however often it is run.
        row = write(request.app.state.writers, lambda connection: sessions.run(connection, statement, values))
        return row is None or bool(row[0])

    return await run_in_threadpool(run)
