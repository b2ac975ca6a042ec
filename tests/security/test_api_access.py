"""The API is closed to strangers: without a token, with one of another kind, or from another site."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.web.api.access import PUBLIC
from tests.api import served
from tests.conftest import NewDatabase

TOKENS = "read:reader,write:writer"
ORDER = f"/users/{uuid.UUID(int=1)}/favorites"
EVENT = {"eventId": str(uuid.UUID(int=2)), "promptId": str(uuid.UUID(int=1))}

OPEN = {
    "/": "the page of the dashboard; it holds no data, and asks for the token",
    "/health": "a load balancer has no token; it says whether the database answers, and nothing else",
    "/openapi.json": "the description is the same for all, and is in the package",
}
"""What needs no token, and why."""

WHOLE = {
    "key": "x",
    "day": "2026-01-01",
    "user_id": str(uuid.UUID(int=1)),
    "by": "scenes",
    "ranking": "best",
    "table": "prompts",
}


@pytest.fixture(scope="module")
def database(new_database: NewDatabase, migrated_template: str) -> Iterator[Database]:
    with new_database(migrated_template) as database:
        yield database


@pytest.fixture(scope="module")
def client(database: Database) -> Iterator[httpx.Client]:
    """The API with tokens."""
    with served(database, PROMPT_STATS_API_TOKEN=TOKENS) as client:
        yield client


@pytest.fixture(scope="module")
def local(database: Database) -> Iterator[httpx.Client]:
    """The API without any."""
    with served(database) as client:
        yield client


def status_of(client: httpx.Client, head: str) -> int:
    """The status of the answer to a request of which no more is sent than this."""
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        return int(connection.recv(4096).split(b" ")[1])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def changes(database: Database) -> int:
    """Rows of what the API may write."""
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM prompt_usage) + (SELECT count(*) FROM prompt_usage_rejected)"
            " + (SELECT count(*) FROM prompt_favorites) + (SELECT count(*) FROM prompt_marker)"
        ).fetchone()
    assert row
    return int(row[0])


def test_every_request_of_the_description_needs_a_token_of_its_kind(
    client: httpx.Client, database: Database
) -> None:
    description = client.get("/openapi.json").json()
    before = changes(database)
    refused = 0
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            wrong = "writer" if method == "get" else "reader"
            request = (
                f"{method.upper()} {path.format(**WHOLE)} HTTP/1.1\nHost: localhost\nContent-Length: 1000\n"
            )
            if path in OPEN:
                assert method == "get"
                assert operation["security"] == []
                continue
            # None of the body is sent: whoever waited for it would not answer.
            assert status_of(client, f"{request}\n") == 401, f"{method} {path}"
            assert status_of(client, f"{request}Authorization: Bearer nobody\n\n") == 401, f"{method} {path}"
            assert status_of(client, f"{request}Authorization: Bearer {wrong}\n\n") == 403, f"{method} {path}"
            assert "security" not in operation
            refused += 1
    assert refused > 20
    assert description["security"] == [{"token": []}]
    assert changes(database) == before


def test_what_is_open_is_known(client: httpx.Client) -> None:
    assert OPEN.keys() == PUBLIC
    for path in OPEN:
        assert client.get(path).status_code == 200
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            assert client.request(method, path).status_code == 401
    assert client.get("/dashboard/main.js").status_code == 200
    for path in (
        "/nowhere",
        "/docs",
        "/redoc",
        "/dashboard",
        "/health/",
        "/dashboard%2F..%2Fstatus",
    ):
        assert client.get(path).status_code == 401, path


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "reader")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer  reader")],
        [("Authorization", "Basic reader")],
        [("Authorization", "Bearer reade")],
        [("Authorization", "Bearer read:reader")],
        [("Authorization", "Bearer nobody"), ("Authorization", "Bearer reader")],
        [("Cookie", "Authorization=Bearer reader")],
    ],
)
def test_nothing_but_the_token_is_one(client: httpx.Client, headers: list[tuple[str, str]]) -> None:
    answer = client.get("/status", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get("/status", headers=bearer("reader")).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ":",
        ":8000",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:127.0.0.1",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost:80:80",
        "localhost:x",
        "localhost:",
        "localhost, evil.example",
        "localhost/evil.example",
        "localhost\nHost: evil.example",
        "evil.example\nHost: localhost",
        "localhost\nHost: localhost",
        "[::1",
        "::1",
        "0.0.0.0",  # noqa: S104  # a header
        "127.0.0.2",
    ],
)
@pytest.mark.parametrize("request_", ["GET /status", "POST /events", "GET /", "GET /openapi.json"])
def test_without_tokens_another_host_is_refused(local: httpx.Client, request_: str, host: str | None) -> None:
    header = "" if host is None else f"Host: {host}\n"
    for version in ("1.0", "1.1"):
        assert status_of(local, f"{request_} HTTP/{version}\n{header}Content-Length: 9\n\n") in {400, 403}


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_without_tokens_this_machine_is_answered(local: httpx.Client, host: str) -> None:
    assert status_of(local, f"GET /status HTTP/1.1\nHost: {host}\n\n") == 200


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_the_address_of_a_request_names_no_host(local: httpx.Client, host: str) -> None:
    for address in (f"http://{host}/status", f"{host}:80", "*"):
        for method in ("GET", "OPTIONS"):
            assert status_of(local, f"{method} {address} HTTP/1.1\nHost: localhost\n\n") == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_without_tokens_a_page_of_another_origin_changes_and_learns_nothing(
    local: httpx.Client, database: Database, headers: dict[str, str]
) -> None:
    before = changes(database)
    for method, path, kind, body in (
        ("POST", "/events", "text/plain", EVENT),
        ("POST", "/events", "application/json", EVENT),
        ("PUT", f"{ORDER}/{uuid.UUID(int=1)}", "text/plain", None),
        ("DELETE", f"{ORDER}/{uuid.UUID(int=1)}", "text/plain", None),
        ("PUT", ORDER, "text/plain", {"promptIds": [str(uuid.UUID(int=1))]}),
        ("GET", "/status", "text/plain", None),
        ("GET", "/export/prompts", "text/plain", None),
        ("OPTIONS", "/events", "text/plain", None),
    ):
        answer = local.request(method, path, json=body, headers={**headers, "Content-Type": kind})
        assert answer.status_code == 403, f"{method} {path}"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert changes(database) == before


def test_without_tokens_the_page_of_this_origin_is_answered(local: httpx.Client) -> None:
    origin = str(local.base_url).rstrip("/")
    for site in ("same-origin", "none"):
        headers = {"Origin": origin, "Sec-Fetch-Site": site}
        assert local.get("/status", headers=headers).status_code == 200
        assert local.post("/events", json=[], headers=headers).status_code == 200
    # A link from elsewhere opens the page, which holds no data.
    assert local.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_content_type_that_needs_no_preflight_is_refused(local: httpx.Client, database: Database) -> None:
    before = changes(database)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {"Content-Type": kind}
        assert local.post("/events", json=EVENT, headers=headers).status_code == 415
        assert local.put(ORDER, json={"promptIds": ["x"]}, headers=headers).status_code in {400, 422}
    assert changes(database) == before


def test_every_answer_keeps_a_browser_from_running_it(local: httpx.Client, client: httpx.Client) -> None:
    answers = [
        local.get("/status"),
        local.get("/"),
        local.get("/dashboard/main.js"),
        local.get("/export/prompts"),
        local.get("/nowhere"),
        local.get("/docs"),
        local.get("/prompts/top/used", params={"limit": 0}),
        local.post("/events", json=["x" * 2**25]),
        local.get("/status", headers={"Host": "evil.example"}),
        local.put("/"),
        client.get("/status"),
        client.get("/status", headers=bearer("writer")),
    ]
    assert {answer.status_code for answer in answers} == {200, 401, 403, 404, 405, 413, 422}
    for answer in answers:
        policy = answer.headers.get_list("content-security-policy")
        assert len(policy) == 1
        assert "default-src 'none'" in policy[0]
        assert "frame-ancestors 'none'" in policy[0]
        assert "unsafe-eval" not in policy[0]
        assert "'unsafe-inline'" not in policy[0].replace("style-src-attr 'unsafe-inline'", "")
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        is_html = "html" in answer.headers["content-type"]
        assert is_html == (answer.request.url.path == "/" and answer.status_code == 200)


def test_an_unforeseen_error_keeps_a_browser_from_running_it(
    new_database: NewDatabase, migrated_template: str
) -> None:
    with new_database(migrated_template) as database, served(database) as client:
        with psycopg.connect(database.conninfo) as operator:
            # A list, where the rows by table are looked up.
            operator.execute(
                "INSERT INTO stats_refresh (high, next_xid, as_of, started_at, published_at, open_until,"
                " usage_count, held_back_count, pending_days, rows_written, seconds)"
                " VALUES (1, 1, now(), now(), now(), current_date, 0, 0, '[]', '[1]', '{}')"
            )
        answer = client.get("/metrics")
    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_there_are_no_websockets(local: httpx.Client) -> None:
    upgrade = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: eA==\n"
    assert status_of(local, f"GET /status HTTP/1.1\nHost: evil.example\n{upgrade}\n") == 403
    assert status_of(local, f"GET /nowhere HTTP/1.1\nHost: localhost\n{upgrade}\n") == 404
