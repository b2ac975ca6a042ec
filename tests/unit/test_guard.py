"""Which requests the guard of Dagster's UI lets pass, by their headers alone."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from pipeline.errors import InputError
from pipeline.orchestration.guard import allowed_hosts, refusal

HOSTS = allowed_hosts(["dagster.example.com"], "127.0.0.1")
JSON = ("content-type", "application/json")
LOCAL = ("host", "127.0.0.1:3000")
PROXIED = ("host", "dagster.example.com")

Header = tuple[str, str]


def status(method: str, *headers: Header, scheme: str = "http") -> HTTPStatus | None:
    """The status that a request is refused with; None where it passes. ``WS`` is a WebSocket's handshake."""
    scope = {
        "type": "websocket" if method == "WS" else "http",
        "scheme": scheme,
        "path": "/graphql",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    if method != "WS":
        scope["method"] = method
    refused = refusal(scope, HOSTS)
    assert refused is None or refused.text.endswith(".")
    return refused.status if refused else None


@pytest.mark.parametrize("method", ["GET", "POST", "WS"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "localhost:3000", "LOCALHOST", "[::1]:3000", "dagster.example.com"]
)
def test_names_of_this_server_are_answered(method: str, host: str) -> None:
    assert status(method, ("host", host), JSON) is None


@pytest.mark.parametrize("method", ["GET", "POST", "WS"])
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("attacker.example:3000", HTTPStatus.MISDIRECTED_REQUEST),
        ("127.0.0.1.attacker.example", HTTPStatus.MISDIRECTED_REQUEST),
        ("xn--dagster.example.com", HTTPStatus.MISDIRECTED_REQUEST),
        ("localhost.", HTTPStatus.MISDIRECTED_REQUEST),
        ("0.0.0.0:3000", HTTPStatus.MISDIRECTED_REQUEST),
        ("", HTTPStatus.BAD_REQUEST),
        (" localhost", HTTPStatus.BAD_REQUEST),
        ("localhost:", HTTPStatus.BAD_REQUEST),
        ("localhost:port", HTTPStatus.BAD_REQUEST),
        ("localhost:1:2", HTTPStatus.BAD_REQUEST),
        ("user@localhost", HTTPStatus.BAD_REQUEST),
        ("localhost/path", HTTPStatus.BAD_REQUEST),
        ("attacker.example,localhost", HTTPStatus.BAD_REQUEST),
        ("::1", HTTPStatus.BAD_REQUEST),
        ("[::1", HTTPStatus.BAD_REQUEST),
        ("localhost\n", HTTPStatus.BAD_REQUEST),
    ],
)
def test_other_and_malformed_names_are_refused(method: str, host: str, expected: HTTPStatus) -> None:
    assert status(method, ("host", host), JSON) is expected


def test_one_host_has_to_be_given() -> None:
    assert status("GET") is HTTPStatus.BAD_REQUEST
    assert status("GET", LOCAL, ("host", "attacker.example")) is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("method", ["GET", "POST", "WS"])
@pytest.mark.parametrize(
    ("host", "origin", "scheme"),
    [
        (LOCAL, "http://127.0.0.1:3000", "http"),
        (("host", "[::1]:3000"), "http://[::1]:3000", "http"),
        (("host", "localhost"), "http://localhost:80", "http"),
        (PROXIED, "https://dagster.example.com", "https"),
        (("host", "dagster.example.com:443"), "https://dagster.example.com", "https"),
        # A proxy with TLS that does not pass on X-Forwarded-Proto.
        (PROXIED, "https://Dagster.Example.com", "http"),
    ],
)
def test_the_own_pages_are_answered(method: str, host: Header, origin: str, scheme: str) -> None:
    assert status(method, host, ("origin", origin), JSON, scheme=scheme) is None


@pytest.mark.parametrize("method", ["GET", "POST", "WS"])
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (LOCAL, "http://attacker.example"),
        (LOCAL, "http://127.0.0.1:8000"),
        (LOCAL, "http://127.0.0.1"),
        (LOCAL, "http://localhost:3000"),
        (LOCAL, "http://127.0.0.1:3000.attacker.example"),
        (LOCAL, "file://127.0.0.1:3000"),
        (LOCAL, "null"),
        (LOCAL, ""),
        (LOCAL, "http://127.0.0.1:3000, http://attacker.example"),
        (PROXIED, "https://dagster.example.com:8443"),
        (PROXIED, "https://other.example.com"),
    ],
)
def test_pages_of_other_origins_are_refused(method: str, host: Header, origin: str) -> None:
    assert status(method, host, ("origin", origin), JSON) is HTTPStatus.FORBIDDEN


def test_a_page_without_tls_is_another_than_the_one_with_it() -> None:
    for method, scheme in (("POST", "https"), ("WS", "wss")):
        refused = status(method, PROXIED, ("origin", "http://dagster.example.com"), JSON, scheme=scheme)
        assert refused is HTTPStatus.FORBIDDEN


def test_two_origins_are_none() -> None:
    origin = ("origin", "http://127.0.0.1:3000")
    assert status("POST", LOCAL, JSON, origin, origin) is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
def test_another_site_may_link_and_nothing_else(site: str) -> None:
    given = ("sec-fetch-site", site)
    link = (given, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
    frame = (given, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"))
    assert status("GET", LOCAL, *link) is None
    assert status("GET", LOCAL, *frame) is HTTPStatus.FORBIDDEN
    assert status("GET", LOCAL, given) is HTTPStatus.FORBIDDEN
    assert status("POST", LOCAL, JSON, *link) is HTTPStatus.FORBIDDEN
    assert status("WS", LOCAL, *link) is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/plain; application/json",
        "text/plain;charset=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/graphql",
        "application/jsonp",
    ],
)
def test_what_is_posted_has_to_be_json(content_type: str | None) -> None:
    given = [] if content_type is None else [("content-type", content_type)]
    assert status("POST", LOCAL, *given) is HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_json_may_name_its_encoding_but_has_to_be_the_only_type() -> None:
    assert status("POST", LOCAL, ("content-type", "Application/JSON; charset=utf-8")) is None
    assert status("POST", LOCAL, JSON, ("content-type", "text/plain")) is HTTPStatus.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_no_other_method_is_answered(method: str) -> None:
    assert status(method, LOCAL, JSON) is HTTPStatus.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "dagster.example.com", ""])  # noqa: S104
def test_an_address_for_others_needs_named_hosts(address: str) -> None:
    with pytest.raises(InputError, match="PROMPT_STATS_UI_HOSTS"):
        allowed_hosts([], address)
    assert allowed_hosts(["dagster.example.com"], address) > {"dagster.example.com", "localhost"}
