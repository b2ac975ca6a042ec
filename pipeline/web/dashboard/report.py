"""The dashboard as one file that works offline, with the API's own answers in it.

The application asks the file for the paths that it would ask the API for. Which ones these can be is said
twice, here and in ``static``: offline it offers the choices whose answers are collected here, and no others.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Scope

from pipeline.database.connections import Database
from pipeline.days import ONE_DAY
from pipeline.errors import DatabaseUnavailableError, PromptStatsError
from pipeline.files import named_folder, private_folder, replaced
from pipeline.settings import Settings
from pipeline.tracking.given_json import UNREADABLE, decode
from pipeline.web.api import build_app
from pipeline.web.dashboard import page

logger = logging.getLogger(__name__)

NAME = "report.html"
"""In the home."""

PERIODS = (7, 30, 90)
RANKED = 50
"""Prompts of a ranking; those of the most used ones have pages."""

LISTED = 5
ALERT_DAYS = 7
FILTERED_DAYS = 30
"""The period of rankings by category or scene: `DEFAULT_DAYS` of `static/state.js`."""

HEAT_SCENES = 15
RANKINGS = ("usage", "favored", "best", "failures", "failing", "worse", "slowest", "rising", "falling")
BY_PERIOD = ("usage", "best", "failures", "failing", "worse", "slowest")
VALUES = ("scenes", "environments", "outfits")

UNQUOTED = "!'()*~"
"""As encodeURIComponent has it."""

AT_ONCE = 8
"""As many as the API has connections for."""

ATTEMPTS = 3
"""How often all is asked again because a refresh was published meanwhile."""

Answers = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """A file that was written."""

    file: Path
    size: int
    as_of: dt.datetime | None
    usage_count: int
    prompts: list[dict[str, Any]]
    """The most used ones, as the ranking has them."""


def write_report(settings: Settings, database: Database, file: Path | None = None) -> Report:
    """Writes the page, by default into the home; who reads it meanwhile sees the old one or the new one.

    :raises PromptStatsError: an answer can't be had, or the file can't be written.
    """
    is_ours = file is None
    file = file or settings.home / NAME
    today, pages, answers = asyncio.run(_collected(settings, database))
    ranking = answers[_ranking("usage")]["prompts"]
    document = page.one_document({"today": today.isoformat(), "pages": pages, "answers": answers})
    try:
        (private_folder if is_ours else named_folder)(file.parent)
        with replaced(file, is_private=is_ours) as written:
            written.write(document.encode())
    except OSError as error:
        raise PromptStatsError(
            f"Writing the report {file}", str(error.strerror).lower(), "Choose a file that you may write"
        ) from error
    found = answers["/status"]
    as_of = dt.datetime.fromisoformat(found["asOf"]) if found["asOf"] else None
    return Report(file, len(document.encode()), as_of, found["usageCount"], ranking)


async def _collected(settings: Settings, database: Database) -> tuple[dt.date, list[str], Answers]:
    """The day that periods end with, the prompts that have pages, and every answer by its path.

    All of them are of one refresh.
    """
    # Asked in this process, by nobody else: no token is needed.
    app = build_app(settings.model_copy(update={"api_tokens": ()}), database)
    async with app.router.lifespan_context(app):
        for _ in range(ATTEMPTS):
            answers = await _Collector(app).everything()
            if len({each.get("asOf") for each in answers[2].values()}) == 1:
                break
        return answers


class _Collector:
    """Asks for what the application may ask for."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._answers: Answers = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def everything(self) -> tuple[dt.date, list[str], Answers]:
        await self._ask(["/status", "/categories", *(f"/{name}" for name in VALUES), _ranking("usage")])
        as_of = self._answers["/status"]["asOf"]
        today = dt.datetime.fromisoformat(as_of).date() if as_of else dt.datetime.now(dt.UTC).date()
        ranked = self._answers[_ranking("usage")]["prompts"]
        self._app.state.kept_prompts = [each["promptId"] for each in ranked]
        await self._ask(self._overall(today))
        pages = []
        for prompt in self._answers[_ranking("usage")]["prompts"]:
            try:
                await self._ask(_of_prompt(prompt["promptId"], today))
            except DatabaseUnavailableError:
                raise
            except PromptStatsError as error:
                # One that is odd takes no page from the others, and stands in the rankings as it is.
                logger.warning(
                    "The report has no page for the prompt %r: %s", prompt["promptId"], error.wrong
                )
                continue
            pages.append(prompt["promptId"])
        if pages:
            # Given several times, each is one: an id may have a comma.
            lines = {"ids": [*pages, ""]}
            await self._ask(_path("/prompts/sparklines", **lines, **_period(days, today)) for days in PERIODS)
        return today, pages, self._answers

    async def _ask(self, paths: Iterable[str]) -> None:
        async def ask(path: str) -> None:
            async with self._turn:
                status, answer = await _get(self._app, path)
            if status != HTTPStatus.OK:
                attempted = f"Asking the API for {path}"
                if status == HTTPStatus.SERVICE_UNAVAILABLE:
                    remedy = "Write it again once that is mended"
                    raise DatabaseUnavailableError(attempted, answer["detail"], remedy)
                raise PromptStatsError(attempted, answer["detail"], "Please report it")
            self._answers[path] = answer

        await asyncio.gather(*(ask(path) for path in paths if path not in self._answers))

    def _overall(self, today: dt.date) -> Iterator[str]:
        yield _path("/alerts", days=ALERT_DAYS)
        for days in PERIODS:
            period = _period(days, today)
            yield from (_series("/overview", days, bucket, today) for bucket in _buckets(days))
            yield from (_path(f"/{name}", **period) for name in ("categories", *VALUES))
            yield from (
                _path(f"/prompts/top/{name}", limit=LISTED, **period) for name in ("usage", "failing")
            )
            yield from (_ranking(name, **period) for name in BY_PERIOD)
        categories = [each["category"] for each in self._answers["/categories"]["categories"]]
        scenes = [each["scene"] for each in self._answers["/scenes"]["scenes"]]
        for name in RANKINGS:
            period = _period(FILTERED_DAYS, today) if name in BY_PERIOD else {}
            if not period:
                yield _ranking(name)
            yield from (_ranking(name, category=each, **period) for each in categories if each is not None)
            if period:
                yield from (_ranking(name, scene=each, **period) for each in scenes if each is not None)


async def _get(app: ASGIApp, address: str) -> tuple[int, Any]:
    """The status and the JSON of an answer.

    Clients of HTTP have a limit on addresses, and the names of scenes and categories have none.

    :raises PromptStatsError: the answer can't be read.
    """
    path, _, parameters = address.partition("?")
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": parameters.encode(),
        "headers": [(b"host", b"localhost")],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    # An unforeseen error is raised once it is answered.
    with suppress(Exception):
        await app(scope, receive, send)
    try:
        return sent[0]["status"], decode(b"".join(message.get("body", b"") for message in sent))
    except UNREADABLE as error:
        raise PromptStatsError(
            f"Reading the API's answer to {address}",
            f"it can't be read as JSON: {error}",
            "Look for a value of the app's that is nested very deeply",
        ) from error


def _of_prompt(key: str, today: dt.date) -> Iterator[str]:
    base = f"/prompts/{quote(str(key), safe=UNQUOTED)}"
    yield base
    yield f"{base}/markers"
    for days in PERIODS:
        period = _period(days, today)
        yield from (_path(f"{base}/{name}", **period) for name in ("stats", "errors", "times", *VALUES))
        yield from (_series(f"{base}/series", days, bucket, today) for bucket in _buckets(days))
        # Given several times, each is one: an id may have a comma.
        yield _path("/prompts/difference", ids=[key, ""], **period)
        yield _series(f"{base}/scenes/series", days, _heat_bucket(days), today, limit=HEAT_SCENES)


def _heat_bucket(days: int) -> str:
    """As ``heatBucket`` of ``static/state.js`` has it, of the periods of a file."""
    return "day" if days <= 14 else "week"


def _buckets(days: int) -> list[str]:
    """As ``buckets`` of ``static/state.js`` has them."""
    return ["day", *(["week"] if days > 7 else []), *(["month"] if days > 31 else [])]


def _ranking(name: str, **narrowed: object) -> str:
    return _path(f"/prompts/top/{name}", limit=RANKED, **narrowed)


def _series(base: str, days: int, bucket: str, today: dt.date, **more: object) -> str:
    return _path(base, **_period(days, today), bucket=bucket, **more)


def _period(days: int, today: dt.date) -> dict[str, str]:
    """As ``ofPeriod`` of ``static/state.js`` has it."""
    return {"from": (today - (days - 1) * ONE_DAY).isoformat(), "to": today.isoformat()}


def _path(base: str, **parameters: object) -> str:
    """As ``path`` of ``static/source.js`` spells it, where two characters are another's matter."""
    return f"{base}?{urlencode(parameters, doseq=True).replace('~', '%7E').replace('%2A', '*')}"
