"""Answers that are given again: for a moment only, each as old as it says, and never to somebody else."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import Request, Response

from pipeline.api.kept import Answered, Kept, keep
from pipeline.database import Database
from pipeline.refresh import refresh
from tests.api import served
from tests.conftest import FIRST_DAY

PROMPT = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
READER = {"Authorization": "Bearer reader"}
A_MINUTE = 60.0
A_MOMENT = 0.05
PATIENCE_SECONDS = 30.0


@pytest.fixture
def app(database: Database, tmp_path: Any) -> Iterator[psycopg.Connection[Any]]:
    """The app, on a database with one refresh."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO prompts (id, slug, name, template) VALUES (%s, 'one', 'Before', '')", (PROMPT,)
        )
        refresh(database, str(tmp_path / "lake"), FIRST_DAY)
        yield connection


def rename(app: psycopg.Connection[Any]) -> None:
    app.execute("UPDATE prompts SET name = 'After'")


def test_an_answer_is_given_again_with_its_age(database: Database, app: psycopg.Connection[Any]) -> None:
    with served(database, A_MINUTE, PROMPT_STATS_API_TOKEN="read:reader") as client:  # noqa: S106
        first = client.get("/prompts/one", headers=READER)
        rename(app)
        second = client.get("/prompts/one", headers=READER)
        one, two = first.json(), second.json()
        assert two.pop("lagSeconds") > one.pop("lagSeconds") > 0
        assert (one["prompt"]["name"], one) == ("Before", two)
        ages = [float(each.headers["Stats-Lag-Seconds"]) for each in (first, second)]
        assert ages[0] < ages[1]
        tag = first.headers["ETag"]
        assert second.headers["ETag"] == tag
        same = client.get("/prompts/one", headers={**READER, "If-None-Match": tag})
        assert (same.status_code, same.headers["ETag"]) == (304, tag)
        # Other parameters are another question, and a token is asked for first.
        assert client.get("/prompts?limit=1", headers=READER).json()["prompts"][0]["name"] == "After"
        assert client.get("/prompts/one").status_code == 401
        counted = client.get("/metrics", headers=READER).text
        assert 'route="/prompts/{key}",status="200"} 2.0' in counted


@pytest.mark.parametrize("path", ["/prompts/top/used", "/prompts", "/prompts/one"])
def test_an_answer_is_soon_made_anew(database: Database, app: psycopg.Connection[Any], path: str) -> None:
    with served(database, A_MOMENT) as client:
        assert "Before" in client.get(path).text
        rename(app)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "After" not in client.get(path).text:
            assert time.monotonic() < deadline
            time.sleep(A_MOMENT)


@pytest.mark.usefixtures("app")
def test_who_wrote_reads_it_at_once(database: Database) -> None:
    def are_favorites(client: httpx.Client) -> list[bool]:
        listed = client.get("/prompts", params={"userId": user}).json()["prompts"]
        return [
            each["isFavorite"] for each in [*listed, *client.get(f"/users/{user}/prompts").json()["prompts"]]
        ]

    user = str(uuid.uuid4())
    with served(database, A_MINUTE) as client:
        assert are_favorites(client) == [False]
        assert client.put(f"/users/{user}/favorites/one").status_code == 204
        assert are_favorites(client) == [True, True]


def test_answers_take_no_more_room_than_they_may() -> None:
    asked: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        answered = Answered("tag", b'{"asOf":' + b" " * 1_000 + b"null}", None, None, 0.0)
        keep(Request(scope), answered)
        response: Response = answered.response("")
        await response(scope, receive, send)

    async def ask(*paths: str) -> None:
        for path in paths:
            scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
            await kept(scope, receive, send)

    async def receive() -> Any:
        raise AssertionError("nothing of a body is read")

    async def send(_message: Any) -> None:
        pass

    kept = Kept(app, seconds=A_MINUTE, capacity_bytes=10_000)
    asyncio.run(ask("/1", "/2", "/3", "/3", "/2", "/1", "/4", "/1", "/4"))
    assert asked == ["/1", "/2", "/3", "/4", "/1"]
