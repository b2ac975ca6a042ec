"""A prompt's markers: the days on which its author noted a change."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import Field

from pipeline.database import tables
from pipeline.database.prompt_keys import id_of
from pipeline.database.queries import query
from pipeline.errors import NotFoundError
from pipeline.limits import NOTE_MAX_LENGTH
from pipeline.web.api.addresses import Key
from pipeline.web.api.answers import StatsAnswer, model_of
from pipeline.web.api.connections import WritingConnection as Connection
from pipeline.web.api.connections import change
from pipeline.web.api.reader import Stats, answer

MARKERS = query("web/markers")
SET_MARKER = query("web/set_marker")
REMOVE_MARKER = query("web/remove_marker")

VISIBLE = r"^[^\x00]*[^\x00\s][^\x00]*$"
"""Of a text that Postgres can hold and people can see."""

router = APIRouter(tags=["markers"])

Marker = model_of("Marker", tables.prompt_marker, without=("prompt_id",))
Day = Annotated[dt.date, Path(description="The day of the change.", examples=["2026-01-31"])]


class MarkersAnswer(StatsAnswer):
    """The days on which a prompt's author noted a change, the latest first."""

    markers: list[Marker] = Field(description="As they are now, whatever asOf says.")  # type: ignore[valid-type]


@router.get("/prompts/{key:segment}/markers", summary="A prompt's markers", response_model=MarkersAnswer)
async def markers(
    request: Request,
    stats: Stats,
    key: Key,
    limit: Annotated[int, Query(ge=1, le=200, description="How many, at most.")] = 200,
) -> Response:
    """The days on which its author noted a change, the latest first.

    What came of a change: `/prompts/difference?ids={key}&before={day}`.
    """
    found = await stats.read((MARKERS, {"prompt_id": await stats.prompt_id(key), "limit": limit}))
    return answer(request, found, {"markers": found[0]})


@router.put("/prompts/{key:segment}/markers/{day}", summary="Mark a day", status_code=204)
async def set_marker(
    request: Request,
    key: Key,
    day: Day,
    note: Annotated[
        str,
        Body(
            description="What was changed.",
            examples=["Shorter negative prompt"],
            embed=True,
            min_length=1,
            max_length=NOTE_MAX_LENGTH,
            pattern=VISIBLE,
        ),
    ],
) -> None:
    """Notes what was changed of the prompt that day; what was noted before is replaced."""

    def write(connection: Connection) -> None:
        prompt_id = id_of(connection.execute, key)
        row = connection.execute(SET_MARKER, {"prompt_id": prompt_id, "day": day, "note": note}).fetchone()
        if not row or not row[0]:
            raise NotFoundError(
                f"Marking a day of the prompt {key!r}", "it is deleted", "Name one that GET /prompts lists"
            )

    await change(request.app.state.writers, write)


@router.delete("/prompts/{key:segment}/markers/{day}", summary="Remove a marker", status_code=204)
async def remove_marker(request: Request, key: Key, day: Day) -> None:
    """Removes the note on that day; a day without one stays as it is."""

    def remove(connection: Connection) -> None:
        with suppress(NotFoundError):
            prompt_id = id_of(connection.execute, key)
            connection.execute(REMOVE_MARKER, {"prompt_id": prompt_id, "day": day})

    await change(request.app.state.writers, remove)
