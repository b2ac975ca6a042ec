"""Protects Dagster's webserver, which has no login.

A browser lets a page of any site send requests to this machine, and a name that such a page controls may
point here (DNS rebinding). The guard lets through requests of the UI's own pages, and of programs that are
not browsers. It knows no users: a login is the task of a reverse proxy (docs/deployment.md).

It has no list of dangerous paths: every request to every path, and every WebSocket, has to pass.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from pipeline.errors import InputError
from pipeline.web.api.access import LOOPBACK

NAME = r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
HOST = re.compile(NAME, re.IGNORECASE)
ORIGIN = re.compile(rf"(?P<scheme>https?)://{NAME}", re.IGNORECASE)
DEFAULT_PORTS = {"http": "80", "https": "443"}
SAFE = ("GET", "HEAD")

HEADERS = {
    # No page of another site shows the UI in a frame, where a click on it lands on ours.
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
FRAME_POLICY = "frame-ancestors 'none'"


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered: its status, and a text that says what to do."""

    status: HTTPStatus
    text: str


def refusal(scope: Scope, hosts: Collection[str]) -> Refusal | None:
    """Why a request, or the handshake of a WebSocket, is refused; None lets it pass.

    ``hosts``: the names of this server, in lower case, IPv6 addresses without brackets.
    """
    headers = Headers(scope=scope)
    return (
        _host_refusal(headers, hosts)
        or _origin_refusal(headers, scope["scheme"])
        or _site_refusal(headers, scope.get("method"))
        or (_method_refusal(headers, scope["method"]) if scope["type"] == "http" else None)
    )


def _host_refusal(headers: Headers, hosts: Collection[str]) -> Refusal | None:
    host = HOST.fullmatch(_only(headers, "host") or "")
    if host is None:
        return Refusal(HTTPStatus.BAD_REQUEST, "A request has to say in one Host header whom it asks.")
    if host["name"].strip("[]").lower() not in hosts:
        return Refusal(
            HTTPStatus.MISDIRECTED_REQUEST,
            "This server does not go by the name in the Host header."
            " If it should, add the name to PROMPT_STATS_UI_HOSTS and restart it.",
        )
    return None


def _origin_refusal(headers: Headers, scheme: str) -> Refusal | None:
    """Browsers name the page that a request comes from, unless it only reads; other programs do not."""
    if "origin" not in headers:
        return None
    origin = ORIGIN.fullmatch(_only(headers, "origin") or "")
    host = HOST.fullmatch(headers["host"])
    if origin and host:
        spoken = origin["scheme"].lower()
        default = DEFAULT_PORTS[spoken]
        # Behind a proxy with TLS the page is at https and the request arrives as http; the other way round a
        # page at http was put there by whoever sits on the line.
        is_own = (spoken == "https" or scheme in ("http", "ws")) and (
            (origin["name"].lower(), origin["port"] or default)
            == (host["name"].lower(), host["port"] or default)
        )
        if is_own:
            return None
    return Refusal(
        HTTPStatus.FORBIDDEN,
        "A page of another site asked for this. If it is the UI's own behind a proxy, have the proxy pass on"
        " the Host header with its port.",
    )


def _site_refusal(headers: Headers, method: str | None) -> Refusal | None:
    """What current browsers say of where a request comes from, where there is no Origin too.

    Another port of this machine is ``same-site``. A link from elsewhere may open the UI in a window.
    """
    site = headers.get("sec-fetch-site", "none")
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    if site in ("none", "same-origin") or (is_link and method in SAFE):
        return None
    return Refusal(HTTPStatus.FORBIDDEN, "A page of another site asked for this.")


def _method_refusal(headers: Headers, method: str) -> Refusal | None:
    if method in SAFE:
        return None
    if method != "POST":
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET, HEAD and POST are answered.")
    # Anything else a page of another site may send without asking first.
    content_type = _only(headers, "content-type") or ""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON, with the header Content-Type: application/json."
        )
    return None


def _only(headers: Headers, name: str) -> str | None:
    """The header's value, None if it is missing or there are several."""
    values = headers.getlist(name)
    return values[0] if len(values) == 1 else None


class Guard:
    """ASGI middleware around a whole application: what it refuses, the application never sees.

    Answers carry headers that keep other sites from framing and embedding them.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # Beside a policy of the page's own: both hold.
                headers.append("Content-Security-Policy", FRAME_POLICY)
            await send(message)

        refused = refusal(scope, self._hosts)
        if refused is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            # Before it is accepted: the handshake is answered with 403.
            await WebSocketClose()(scope, receive, send)
        else:
            answer = PlainTextResponse(f"{refused.text}\n", refused.status)
            await answer(scope, receive, send_with_headers)


def allowed_hosts(named: Collection[str], address: str) -> frozenset[str]:
    """The names that a server goes by that listens at an address: this machine's, and those of the operator.

    :raises InputError: others reach the address, and the operator named no host.
    """
    if address.strip("[]") not in LOOPBACK and not named:
        raise InputError(
            f"Opening Dagster's UI at {address}",
            "it knows no users, so everybody who reaches this address could run and change everything",
            "Leave --host out and put a reverse proxy with a login in front (docs/deployment.md), or name the"
            " hosts that it is asked by in PROMPT_STATS_UI_HOSTS",
        )
    return LOOPBACK | frozenset(named)
