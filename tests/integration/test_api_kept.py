"""Answers that are given again: until what they rest on changes, each with its age, to those who may read."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import Request

from pipeline.adoption import schema
from pipeline.database.connections import Database
from pipeline.limits import BODY_MAX_BYTES
from pipeline.refresh import refresh
from pipeline.web.api import reader
from pipeline.web.api.kept import Answered, Kept
from tests import neighbour
from tests.api import served
from tests.app import at

PROMPT = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
READER = {"Authorization": "Bearer reader"}
INSERT = "INSERT INTO {prompts} (id, slug, name, template) VALUES (%s, 'one', 'Before', '')"
A_MINUTE = 60.0
A_MOMENT = 1.0
PATIENCE_SECONDS = 30.0

Connection = psycopg.Connection[Any]


@pytest.fixture
def app(database: Database, lake: str) -> Iterator[Connection]:
    """The app, on a database with one refresh."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(INSERT.format(prompts="prompts").encode(), [PROMPT])
        refresh(at(database, lake))
        yield connection


def rename(app: Connection) -> None:
    app.execute("UPDATE prompts SET name = 'After'")


def test_an_answer_is_given_again_with_its_age(database: Database, app: Connection) -> None:
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
        same = client.get("/prompts/one", headers={**READER, "If-None-Match": f'"other", {tag}'})
        assert (same.status_code, same.headers["ETag"], same.content) == (304, tag, b"")
        # Other parameters are another question.
        assert client.get("/prompts?limit=1", headers=READER).json()["prompts"][0]["name"] == "After"
        counted = client.get("/metrics", headers=READER).text
        assert 'route="/prompts/{key}",status="200"} 2.0' in counted
        assert 'route="/prompts/{key}",status="304"} 1.0' in counted


@pytest.mark.parametrize("path", ["/prompts/one/stats", "/prompts/top/used"])
def test_it_is_the_same_as_when_it_was_made(database: Database, app: Connection, path: str) -> None:
    with served(database, A_MINUTE) as client:
        one = client.get(path)
        app.execute("DELETE FROM prompts")
        two = client.get(path)
    changing = {"date", "stats-lag-seconds", "content-length"}
    headers = [{name: each.headers[name] for name in each.headers.keys() - changing} for each in (one, two)]
    assert headers[0] == headers[1]
    assert one.headers.keys() == two.headers.keys() >= {"content-security-policy", "stats-as-of", *changing}
    lag = rb'"lagSeconds":[0-9.]+'
    assert re.sub(lag, b"", two.content) == re.sub(lag, b"", one.content)


@pytest.mark.parametrize(("token", "status"), [("writer", 403), ("nobody", 401), ("another", 200)])
def test_it_is_given_to_those_alone_who_may_read(
    database: Database, app: Connection, token: str, status: int
) -> None:
    tokens = "read:reader,read:another,write:writer"
    with served(database, A_MINUTE, PROMPT_STATS_API_TOKEN=tokens) as client:
        assert client.get("/prompts/one", headers=READER).status_code == 200
        rename(app)
        answer = client.get("/prompts/one", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
        assert ("Before" in answer.text) == (status == 200)
        assert client.get("/prompts/one").status_code == 401


@pytest.mark.usefixtures("app")
def test_other_requests_to_its_address_are_not_answered_with_it(database: Database) -> None:
    def asked(client: httpx.Client) -> list[int]:
        return [
            client.head("/prompts/one").status_code,
            client.put("/prompts/one").status_code,
            client.get("/prompts/one", headers={"Host": "evil.example"}).status_code,
            client.request("GET", "/prompts/one", content=bytes(BODY_MAX_BYTES + 1)).status_code,
        ]

    with served(database, A_MINUTE) as client:
        before = asked(client)
        assert client.get("/prompts/one").status_code == 200
        assert asked(client) == before == [405, 405, 403, 413]


def publish(app: Connection, database: Database, lake: str) -> None:
    app.execute("INSERT INTO prompt_usage (prompt_id, success) VALUES (%s, true)", [PROMPT])
    refresh(at(database, lake))


def publish_without_prompt(app: Connection, database: Database, lake: str) -> None:
    app.execute("INSERT INTO prompt_usage (prompt_id, scene) VALUES (gen_random_uuid(), 'cafe')")
    refresh(at(database, lake))


def is_used(text: str) -> bool:
    return '"usageCount":1' in text or '"totalUsage":1' in text


def is_renamed(text: str) -> bool:
    return "After" in text


def is_gone(text: str) -> bool:
    return '"status":404' in text or "Before" not in text


CHANGES: dict[str, tuple[Callable[[Connection, Database, str], None], Callable[[str], bool], list[str]]] = {
    "refresh": (publish, is_used, ["/prompts/one/stats", "/prompts", "/prompts/top/usage", "/categories"]),
    "refresh that leaves prompts alone": (publish_without_prompt, lambda text: "cafe" in text, ["/scenes"]),
    "rename": (
        lambda app, *_: rename(app),
        is_renamed,
        ["/prompts/one", "/prompts", "/prompts/top/used"],
    ),
    "soft delete": (
        lambda app, *_: app.execute("UPDATE prompts SET deleted_at = now()"),
        is_gone,
        ["/prompts", "/prompts/top/used"],
    ),
    "delete": (
        lambda app, *_: app.execute("DELETE FROM prompts"),
        is_gone,
        ["/prompts/one/stats", "/prompts/one"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_is_soon_seen(database: Database, app: Connection, lake: str, change: str) -> None:
    make, is_seen, paths = CHANGES[change]
    with served(database, A_MOMENT) as client:
        for path in paths:
            assert not is_seen(client.get(path).text) or path.endswith("/stats")
        make(app, database, lake)
        for path in paths:
            wait_for(client, path, is_seen)


def test_a_prompt_that_came_and_went_is_not_kept(database: Database, app: Connection) -> None:
    with served(database, A_MOMENT) as client:
        assert "Before" in client.get("/prompts").text
        # Longer than a state is good for; then nothing tells the state after from that before.
        time.sleep(2.5 * A_MOMENT)
        app.execute("INSERT INTO prompts (slug, name, template) VALUES ('two', 'Second', '')")
        assert "Second" in client.get("/prompts/two").text
        app.execute("DELETE FROM prompts WHERE slug = 'two'")
        wait_for(client, "/prompts/two", lambda text: "Second" not in text)


def wait_for(client: httpx.Client, path: str, is_seen: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_seen(client.get(path).text):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_table_too_large_to_be_looked_through_is_taken_as_changed(
    database: Database, app: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "WATCHED_MAX_BYTES", 0)
    with served(database, A_MOMENT) as client:
        assert "Before" in client.get("/prompts/one").text
        rename(app)
        wait_for(client, "/prompts/one", is_renamed)


def test_an_installation_with_other_names_has_answers_of_its_own(
    database: Database, app: Connection, lake: str
) -> None:
    neighbour.make_tables(database.conninfo)
    other = neighbour.named(database.conninfo)
    schema.migrate(other)
    app.execute(INSERT.format(prompts="shop.templates").encode(), [PROMPT])
    refresh(at(other, f"{lake}-of-shop"))
    with served(database, A_MINUTE) as client, served(other, A_MOMENT) as shop:
        assert "Before" in client.get("/prompts/one").text
        assert "Before" in shop.get("/prompts/one").text
        app.execute("UPDATE shop.templates SET name = 'After'")
        wait_for(shop, "/prompts/one", is_renamed)
        assert "Before" in client.get("/prompts/one").text
    other.close()


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


class Asked:
    """An application in front of which answers are kept, and whose state a test sets."""

    def __init__(self, seconds: float = A_MINUTE, capacity_bytes: int = 1_000_000) -> None:
        self.state = "state"
        self.pause_seconds = 0.0
        self.made: list[str] = []
        self.kept = Kept(self._look, lambda _: None, lambda *_: None, seconds, capacity_bytes)

    async def _look(self) -> object:
        await asyncio.sleep(self.pause_seconds)
        return self.state

    async def ask(self, path: str, while_made: Callable[[], Any] | None = None) -> None:
        """Asks for a path; ``while_made`` happens while it is answered, if it is not kept."""
        scope = {
            "type": "http",
            "method": "GET",
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
            "route": type("Route", (), {"path_format": path}),
        }

        async def send(_message: Any) -> None:
            pass

        if not await self.kept.give(scope, send):
            self.made.append(path)
            if while_made:
                await while_made()
            answered = Answered("tag", b'{"asOf":' + b" " * 1_000 + b"null}", None, None)
            self.kept.keep(Request(scope), answered)


def test_answers_take_no_more_room_than_they_may() -> None:
    server = Asked(capacity_bytes=10_000)

    async def ask() -> None:
        await server.kept.see()
        for path in ("/1", "/2", "/3", "/3", "/2", "/1", "/4", "/1", "/4"):
            await server.ask(path)

    asyncio.run(ask())
    assert server.made == ["/1", "/2", "/3", "/4", "/1"]


def test_answers_are_kept_until_the_state_is_another() -> None:
    server = Asked()

    async def ask() -> None:
        await server.ask("/before anything is known")
        for state in ("one", "one", "two"):
            server.state = state
            await server.kept.see()
            await server.ask("/1")
            await server.ask("/1")

    asyncio.run(ask())
    assert server.made == ["/before anything is known", "/1", "/1"]


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    server = Asked()

    async def ask() -> None:
        await server.kept.see()
        server.state = "another"
        await server.ask("/1", while_made=server.kept.see)
        await server.ask("/1")
        await server.ask("/1")

    asyncio.run(ask())
    assert server.made == ["/1", "/1"]


def test_after_a_pause_an_answer_is_given_if_it_still_holds() -> None:
    server = Asked(seconds=A_MOMENT / 100)

    async def ask() -> None:
        server.state = "one"
        await server.kept.see()
        for state in ("one", "one", "two"):
            server.state = state
            await server.ask("/1")
            await asyncio.sleep(A_MOMENT / 10)

    asyncio.run(ask())
    assert server.made == ["/1", "/1"]


def test_a_state_that_does_not_come_holds_no_request_up() -> None:
    server = Asked(seconds=A_MOMENT / 100)

    async def ask() -> None:
        await server.kept.see()
        await server.ask("/1")
        await asyncio.sleep(A_MOMENT / 10)
        server.pause_seconds = A_MINUTE
        await server.ask("/1")

    asyncio.run(asyncio.wait_for(ask(), PATIENCE_SECONDS))
    assert server.made == ["/1", "/1"]
