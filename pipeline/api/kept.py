"""Answers that are given again for a moment, as bytes, without asking the database.

Whatever an answer rests on, a publish or the app's own columns, may change at any time. So none is kept for
longer than ``KEPT_SECONDS`` from when it was asked for, and nothing has to know what it rests on.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.limits import KEPT_BYTES

_ANSWERED = "prompt_stats.answered"
"""Where a request's scope has the answer that may be kept."""

_ENTRY_BYTES = 2_000
"""What an answer takes beside its own bytes and its address, about."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer but for its age, which is another each time that it is given.

    ``content``: an object, or a list, as JSON. ``lag_seconds``: how old the stats were at ``at``, a time of
    ``time.monotonic``; both None before the first publish. ``notes``: fields of the object, or a header.
    """

    tag: str
    content: bytes
    as_of: dt.datetime | None
    lag_seconds: float | None
    at: float
    notes: tuple[str, ...] = ()

    def response(self, if_none_match: str) -> Response:
        """The answer, or 304 if the asker has it already."""
        lag = None if self.lag_seconds is None else self.lag_seconds + time.monotonic() - self.at
        headers = {"ETag": self.tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        if self.as_of:
            headers |= {"Stats-As-Of": self.as_of.isoformat(), "Stats-Lag-Seconds": f"{lag:.3f}"}
        known = {each.strip() for each in if_none_match.split(",")}
        if self.tag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        whole = self.content
        if whole.startswith(b"{"):
            # It has asOf at least.
            more: dict[str, Any] = {"lagSeconds": lag, **({"notes": self.notes} if self.notes else {})}
            whole = whole[:-1] + b"," + msgspec.json.encode(more)[1:]
        elif self.notes:
            headers["Stats-Notes"] = str(len(self.notes))
        return Response(whole, media_type="application/json", headers=headers)


def keep(request: Request, answered: Answered) -> None:
    """Lets the next who ask the same have this answer.

    Not for what a request of this API changes: who wrote has to see it in the next answer.
    """
    request.scope[_ANSWERED] = answered


@dataclass(frozen=True, slots=True)
class _Entry:
    answered: Answered
    route: object
    until: float
    size_bytes: int


class Kept:
    """Gives an answer again to who asks the same. Behind what decides who may ask: it tells no two apart."""

    def __init__(self, app: ASGIApp, seconds: float, capacity_bytes: int = KEPT_BYTES) -> None:
        """``seconds``: for how long. ``capacity_bytes``: what all answers may take, about."""
        self._app = app
        self._seconds = seconds
        self._room_bytes = capacity_bytes
        self._entries: dict[tuple[str, bytes], _Entry] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or passes on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        address = scope["path"], scope["query_string"]
        asked_at = time.monotonic()
        entry = self._entries.get(address)
        if entry and asked_at < entry.until:
            # As a route says it: requests are counted by it.
            scope["route"] = entry.route
            known = [value for name, value in scope["headers"] if name == b"if-none-match"]
            await entry.answered.response(b",".join(known).decode("latin-1"))(scope, receive, send)
            return
        await self._app(scope, receive, send)
        if answered := scope.get(_ANSWERED):
            size_bytes = _ENTRY_BYTES + len(answered.content) + 4 * len(address[0]) + len(address[1])
            self._keep(address, _Entry(answered, scope.get("route"), asked_at + self._seconds, size_bytes))

    def _keep(self, address: tuple[str, bytes], entry: _Entry) -> None:
        self._forget(address)
        self._entries[address] = entry
        self._room_bytes -= entry.size_bytes
        while self._room_bytes < 0:
            self._forget(next(iter(self._entries)))

    def _forget(self, address: tuple[str, bytes]) -> None:
        if entry := self._entries.pop(address, None):
            self._room_bytes += entry.size_bytes
