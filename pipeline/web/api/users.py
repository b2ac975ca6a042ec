"""A user's prompts and favourites."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import Field

from pipeline.database.prompt_keys import id_of, named_by, only_id
from pipeline.database.queries import query
from pipeline.errors import NotFoundError
from pipeline.limits import FAVORITES_MAX
from pipeline.web.api.addresses import Key, UserId
from pipeline.web.api.answers import Answer, StatsAnswer
from pipeline.web.api.connections import WritingConnection as Connection
from pipeline.web.api.connections import change
from pipeline.web.api.reader import Id, Stats, answer

USER_PROMPTS = query("web/user_prompts")
ADD_FAVORITE = query("web/add_favorite")
REMOVE_FAVORITE = query("web/remove_favorite")
ORDER_FAVORITES = query("web/order_favorites")

router = APIRouter(tags=["users"])


class UserPrompt(Answer):
    """A prompt that a user used or has as a favourite."""

    prompt_id: Id
    slug: str | None
    name: str
    category: str | None
    is_favorite: bool
    sort_order: int | None = Field(description="Its place among the favourites; null if it is not one.")
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None
    avg_generation_time_ms: float | None
    last_used_at: dt.datetime | None


class UserPromptsAnswer(StatsAnswer):
    """A user's prompts. Their counters are updated less often: see ``userStatsAsOf``."""

    user_stats_as_of: dt.datetime | None
    prompts: list[UserPrompt]


@router.get(
    "/users/{user_id:segment}/prompts",
    summary="A user's prompts",
    response_model=UserPromptsAnswer,
)
async def user_prompts(
    request: Request,
    stats: Stats,
    user_id: UserId,
    limit: Annotated[int, Query(ge=1, le=FAVORITES_MAX, description="How many at most.")] = 50,
) -> Response:
    """Lists a user's prompts: first the favourites in the user's order, then the most used."""
    found = await stats.read((USER_PROMPTS, {"user_id": user_id, "limit": limit}))
    body = {
        "user_stats_as_of": found.freshness["user_stats_as_of"],
        "prompts": found[0],
    }
    return answer(request, found, body)


@router.put("/users/{user_id:segment}/favorites/{key:segment}", summary="Add a favourite", status_code=204)
async def add_favorite(request: Request, user_id: UserId, key: Key) -> None:
    """Adds the prompt to the end of the user's favourites. An existing favourite keeps its place."""

    def add(connection: Connection) -> None:
        prompt_id = id_of(connection.execute, key)
        row = connection.execute(ADD_FAVORITE, {"user_id": user_id, "prompt_id": prompt_id}).fetchone()
        if not row or not row[0]:
            raise NotFoundError(
                f"Making the prompt {key!r} a favourite",
                "it is deleted",
                "Choose one that GET /prompts lists",
            )

    await change(request.app.state.writers, add)


@router.delete(
    "/users/{user_id:segment}/favorites/{key:segment}", summary="Remove a favourite", status_code=204
)
async def remove_favorite(request: Request, user_id: UserId, key: Key) -> None:
    """Removes the prompt from the user's favourites. Nothing happens if it is not one."""

    def remove(connection: Connection) -> None:
        with suppress(NotFoundError):
            prompt_id = id_of(connection.execute, key)
            connection.execute(REMOVE_FAVORITE, {"user_id": user_id, "prompt_id": prompt_id})

    await change(request.app.state.writers, remove)


@router.put("/users/{user_id:segment}/favorites", summary="Order the favourites", status_code=204)
async def order_favorites(
    request: Request,
    user_id: UserId,
    keys: Annotated[
        list[str],
        Body(
            alias="promptIds",
            description="Ids, slugs or unique names. Entries that name no prompt are ignored.",
            embed=True,
            min_length=1,
            max_length=FAVORITES_MAX,
        ),
    ],
) -> None:
    """Puts the user's favourites into this order. The others follow in their present order."""

    def order(connection: Connection) -> None:
        named = named_by(connection.execute, keys)
        prompt_ids = [str(only_id(named, key)) for key in keys if key in named]
        connection.execute(ORDER_FAVORITES, {"user_id": user_id, "prompt_ids": prompt_ids})

    await change(request.app.state.writers, order)
