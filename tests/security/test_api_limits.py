"""The API holds out against requests that are too large, too slow or too many, and finds all that it took."""

from __future__ import annotations

import json
import random
import resource
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest

from pipeline import limits
from pipeline.database.connections import Database
from pipeline.limits import ANSWER_SECONDS, BODY_MAX_BYTES, EVENT_MAX_BYTES, EVENTS_MAX, HEAD_MAX_BYTES, MIB
from pipeline.refresh import refresh
from pipeline.settings import Settings
from pipeline.web.api import server
from pipeline.web.api.connections import READERS, WRITERS
from pipeline.web.api.events import LINES
from pipeline.web.dashboard.report import write_report
from tests.api import Serve, serve, served
from tests.app import at
from tests.conftest import NewDatabase

TOKENS = "read:reader,write:writer"
WRITER = {"Authorization": "Bearer writer"}
READER = {"Authorization": "Bearer reader"}
JSON = {"Content-Type": "application/json"}
ORDER = f"/users/{uuid.UUID(int=1)}/favorites"
IDLE = 1_100
LOOKS = 0.05
"""Seconds between two looks."""


@pytest.fixture(scope="module")
def running(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Serve]:
    """The command with tokens, with as few descriptors as an old system grants."""
    wrapper = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"]
    with (
        new_database(migrated_template) as database,
        serve(
            tmp_path_factory.mktemp("home"),
            database,
            *wrapper,
            PROMPT_STATS_API_TOKEN=TOKENS,
        ) as running,
    ):
        # What the first requests load is no growth.
        for _ in range(3):
            assert running.client.post("/events", json=[event()], headers=WRITER).status_code == 200
            running.client.put(ORDER, json={"promptIds": []}, headers=WRITER)
        yield running


@pytest.fixture
def client(running: Serve) -> httpx.Client:
    return running.client


def event(**values: object) -> dict[str, object]:
    return {"eventId": str(uuid.uuid4()), "promptId": str(uuid.UUID(int=1)), **values}


def in_pieces(body: bytes) -> Iterator[bytes]:
    """A body whose length is not announced."""
    for start in range(0, len(body), MIB):
        yield body[start : start + MIB]


def growth(running: Serve, ask: Callable[[], Any]) -> tuple[Any, float]:
    """What is answered, and by how many MiB the server's memory had grown at the most meanwhile."""
    before = peak = running.process.memory_info().rss
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(ask)
        while not answer.done():
            peak = max(peak, running.process.memory_info().rss)
            time.sleep(LOOKS / 50)
    return answer.result(), (peak - before) / MIB


def connect(running: Serve) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=60)


def answered(connection: socket.socket, request: bytes) -> bytes:
    """The status line of the answer to what is sent as it stands; nothing if the connection is closed."""
    connection.sendall(request)
    return connection.recv(4096).partition(b"\r\n")[0]


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", ORDER), ("POST", "/events"), ("GET", "/status"), ("POST", "/nowhere")]
)
def test_a_body_without_a_token_is_not_kept(running: Serve, method: str, path: str, *, pieces: bool) -> None:
    body = b'["' + b"x" * (64 * MIB) + b'"]'
    content = in_pieces(body) if pieces else body
    answer, grown = growth(
        running, lambda: running.client.request(method, path, content=content, headers=JSON)
    )
    assert answer.status_code == 401
    assert grown < 20


@pytest.mark.parametrize("pieces", [False, True])
def test_no_body_is_read_beyond_the_limit(client: httpx.Client, *, pieces: bool) -> None:
    for method, path, limit in (
        ("PUT", ORDER, BODY_MAX_BYTES),
        ("PUT", f"{ORDER}/x", None),
        ("POST", "/events", limits.EVENTS_MAX_BYTES),
    ):
        body = b'["' + b"x" * (limit or BODY_MAX_BYTES) + b'"]'
        answer = client.request(
            method, path, content=in_pieces(body) if pieces else body, headers={**WRITER, **JSON}
        )
        # Nobody reads the second one: it is no matter how long it turns out to be.
        assert answer.status_code == (404 if pieces and limit is None else 413)
        assert answer.headers["content-type"] == "application/problem+json"
        if limit:
            assert f"at most {limit // MIB} MiB" in answer.json()["detail"]


SMALL = {
    "an array of {}": (b"[" + b",".join([b"{}"] * (31 * MIB // 3)) + b"]", JSON, 413),
    "lines of {}": (b"{}\n" * (31 * MIB // 3), {"Content-Type": LINES[0]}, 413),
    "empty lines": (b"\n" * (31 * MIB), {"Content-Type": LINES[0]}, 413),
    "arrays in one event": (b'[{"scene":[' + b",".join([b"[]"] * (31 * MIB // 3)) + b"]}]", JSON, 200),
    "an event alone": (b'{"scene":[' + b",".join([b"[]"] * (31 * MIB // 3)) + b"]}", JSON, 200),
    "deeply nested": (b"[" * (31 * MIB), JSON, 400),
    "texts of four bytes a character": (
        json.dumps(
            [event(scene="\N{GRINNING FACE}" + "x" * 3_100) for _ in range(EVENTS_MAX)], ensure_ascii=False
        ).encode()[: 32 * MIB],
        JSON,
        200,
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_things_do_not_become_large(running: Serve, name: str) -> None:
    body, headers, status = SMALL[name]
    answer, grown = growth(
        running, lambda: running.client.post("/events", content=body, headers={**WRITER, **headers})
    )
    assert answer.status_code == status
    print(name, grown)
    assert grown < 300


def test_an_event_that_is_too_large_is_named_and_hides_no_other(client: httpx.Client) -> None:
    events = [event(), event(prompt="x" * EVENT_MAX_BYTES), event(), *(event() for _ in range(2_000))]
    texts = [json.dumps(each) for each in events]
    for body, kind in (("[" + ",".join(texts) + "]", "application/json"), ("\n".join(texts), LINES[0])):
        answer = client.post("/events", content=body, headers={**WRITER, "Content-Type": kind}).json()
        assert answer["taken"] == len(events) - 1
        assert [(wrong["line"], wrong["reason"]) for wrong in answer["rejected"]] == [
            (2, "larger than 1 MiB")
        ]


def test_favourites_are_not_read_without_end(client: httpx.Client) -> None:
    for ids in ("[" * 500_000, "[" + ",".join(["[]"] * 300_000) + "]"):
        answer = client.put(ORDER, content=f'{{"promptIds": {ids}}}', headers={**WRITER, **JSON})
        assert answer.status_code in {400, 422}
        assert len(answer.content) < MIB


def test_a_head_is_not_kept_beyond_the_limit(running: Serve) -> None:
    filler = b"x" * (HEAD_MAX_BYTES + MIB)
    for request in (
        b"GET /" + filler,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + filler,
        b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * HEAD_MAX_BYTES,
        b"POST /events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        + b"a:b\r\n" * HEAD_MAX_BYTES,
        b"GET /health HTTP/1.1\r\n\r\n" * 5_000,
    ):
        with connect(running) as connection:
            try:
                connection.sendall(request)
                said = b""
                while piece := connection.recv(MIB):
                    said += piece
            except OSError:
                # It was closed before all was sent, and what it said last is lost then.
                continue
            assert b"HTTP/1.1 400" in said


def test_an_address_holds_the_longest_text_of_an_event(running: Serve) -> None:
    scene = "\N{GRINNING FACE}" * limits.TEXT_MAX_LENGTH
    request = f"GET /prompts/top/usage?scene={quote(scene)} HTTP/1.1\r\nAuthorization: Bearer reader\r\n\r\n"
    with connect(running) as connection:
        assert answered(connection, request.encode()) == b"HTTP/1.1 200 OK"


def test_a_healthy_request_is_answered_beside_idle_connections(running: Serve) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    try:
        with ExitStack() as stack:
            begun = [
                b"",
                b"GET / HTTP/1.1\r\nHost: lo",
                b"POST /events HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
            ]
            for number in range(IDLE):
                connection = stack.enter_context(connect(running))
                connection.sendall(begun[number % len(begun)])
                if number % 100 == 0:
                    assert httpx.get(f"http://127.0.0.1:{running.port}/health", trust_env=False).is_success
            assert httpx.get(f"http://127.0.0.1:{running.port}/health", trust_env=False).is_success
            assert running.process.num_fds() < 1_024
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_sends_too_slowly_is_dropped(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "ARRIVAL_SECONDS", 0.4)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.1)
    head = f"PUT {ORDER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    events = head.replace(f"PUT {ORDER}".encode(), b"POST /events")
    dropped = [
        [b""],
        [b"GET / HTTP/1.1\r\n", *[b"a: b\r\n"] * 200],
        [b"\r\n"] * 200,
        [head + b"Content-Length: 90000\r\n\r\n", *[b"["] * 200],
        [events + b"Content-Length: 90000\r\n\r\n", *[b"["] * 200],
        [head + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n[\r\n"] * 200],
    ]
    with served(database) as client, ThreadPoolExecutor(len(dropped)) as threads:
        assert all(threads.map(lambda pieces: is_dropped(client, pieces), dropped))
        assert "failed" not in caplog.text
        # A client that is not slow keeps its connection.
        assert client.get("/health").is_success


def test_who_takes_no_answer_is_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALLED_SECONDS", 0.4)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.1)
    page = b"GET /dashboard/vega.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * (server.PIPELINED_MAX + 1)
    with served(database) as client:
        assert is_dropped(client, [page, *[b"\r\n"] * 200])
        assert client.get("/dashboard/vega.js").is_success


def test_requests_behind_one_that_is_refused_are_not_looked_at(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    request = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(database, PROMPT_STATS_API_TOKEN=TOKENS) as client:
        for number, status in ((server.PIPELINED_MAX, b"401"), *[(server.PIPELINED_MAX + 2, b"400")] * 20):
            with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=10) as connection:
                connection.sendall(request * number)
                said = b""
                while piece := connection.recv(MIB):
                    said += piece
            assert (said.count(b"HTTP/1.1 "), said.count(b"HTTP/1.1 " + status)) == (1, 1)
        # One of each connection.
        refused = 'prompt_stats_requests_total{method="GET",route="none",status="401"} 21.0'
        assert refused in client.get("/metrics", headers=READER).text
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) <= 1


def is_dropped(client: httpx.Client, pieces: list[bytes]) -> bool:
    """Whether the connection is closed while this is sent, piece by piece, and no answer is taken."""
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(LOOKS)
            return len(pieces) == 1 and connection.recv(1) == b""
        except ConnectionError:
            return True


def test_the_database_is_given_up_in_time(database: Database) -> None:
    with psycopg.connect(database.conninfo) as locker, served(database) as client:
        locker.execute("LOCK TABLE prompt_usage, prompt_favorites, prompt_stats, prompts")
        start = time.monotonic()

        def ask(number: int) -> int:
            if number % 4 == 0:
                return client.post("/events", json=[event()], timeout=60).status_code
            if number % 4 == 1:
                return client.put(f"{ORDER}/x", timeout=60).status_code
            return client.get("/prompts/x/stats", timeout=60).status_code

        # More than there are connections: some wait for one first.
        asked = 2 * (READERS + WRITERS)
        with ThreadPoolExecutor(asked) as threads:
            statuses = list(threads.map(ask, range(asked)))
        assert set(statuses) == {503}
        assert time.monotonic() - start < ANSWER_SECONDS + 3
        locker.rollback()
        assert client.post("/events", json=[event()]).json()["taken"] == 1


def test_what_was_taken_is_found_again(database: Database, lake: str, tmp_path: Path) -> None:
    letters = random.Random(1)  # noqa: S311  # a test's
    # Of a prompt, Postgres indexes less.
    scene, category, slug = (
        "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789 %&?#", k=length))
        for length in (limits.TEXT_MAX_LENGTH, 2_000, 2_000)
    )
    with psycopg.connect(database.conninfo) as app:
        app.execute(
            "INSERT INTO prompts (id, slug, name, category, template) VALUES (%s, %s, 'n', %s, '')",
            (uuid.UUID(int=1), slug, category),
        )
    with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
        given = event(
            promptId=slug, scene=scene, environment=scene, outfit=scene, errorMessage=scene, success=False
        )
        assert client.post("/events", json=given).json()["taken"] == 1
        refresh(at(database, lake), values=True)
        for parameters in ({"scene": scene}, {"category": category}):
            found = client.get("/prompts/top/usage", params=parameters).json()["prompts"]
            assert [prompt["usageCount"] for prompt in found] == [1]
        assert client.get(f"/prompts/{quote(slug)}").json()["prompt"]["slug"] == slug
        for path, name in (("/prompts/compare", "totalUsage"), ("/prompts/sparklines", "usageCounts")):
            found = client.get(path, params={"ids": slug}).json()["prompts"][0][name]
            assert found in (1, [0] * 29 + [1])
    settings = Settings.model_validate({"PROMPT_STATS_LAKE_URI": lake})
    report = write_report(settings, database, tmp_path / "report.html")
    assert report.usage_count == 1
    assert scene[:1_000] in report.file.read_text().replace("\\u003c", "<")


def test_as_many_favourites_are_read_as_are_put_in_order(database: Database) -> None:
    with served(database) as client:
        assert client.get(
            f"/users/{uuid.UUID(int=1)}/prompts", params={"limit": limits.FAVORITES_MAX}
        ).is_success
