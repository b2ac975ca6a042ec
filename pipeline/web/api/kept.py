"""Answers that are given again, as bytes, until what they rest on changes.

They rest on the published stats and on the app's ``prompts``, whose state ``sql/web/state.sql`` gives. It is
looked at beside the requests, at most once every ``seconds``. A request waits for it only where none is known
of the last ``2 * seconds``, and not for long: it is answered then as if nothing were kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import psycopg
from fastapi import Request, Response
from starlette.types import Scope, Send

from pipeline.limits import KEPT_BYTES
from pipeline.web.api.headers import RAW_SAFE_HEADERS
from pipeline.web.api.problems import Problem

logger = logging.getLogger(__name__)

_STATE = "prompt_stats.state"
"""Where a request's scope has the state that was known before anything was read for it."""

WAIT_SECONDS = 0.1
"""How long a request waits for the state."""

_ENTRY_BYTES = 2_000
"""What an answer takes beside its own bytes and its address, about."""

_LOOKED_FOR = frozenset({b"if-none-match", b"content-length", b"transfer-encoding"})

Headers = list[tuple[bytes, bytes]]


class Answered:
    """An answer but for its age, which is another each time that it is given."""

    def __init__(
        self,
        tag: str,
        content: bytes,
        as_of: str | None,
        lag_seconds: float | None,
        notes: Sequence[str] = (),
    ) -> None:
        """``content``: an object with ``asOf``, or a list, as JSON. ``notes``: its field, or a list's header.

        ``as_of`` in ISO 8601. ``lag_seconds``: how old the stats are now; both None before the first publish.
        """
        self.content = content
        self._tag = tag.encode()
        self._as_of_at = None if lag_seconds is None else time.monotonic() - lag_seconds
        self._is_object = content.startswith(b"{")
        self._rest = (b',"notes":' + msgspec.json.encode(notes) if notes else b"") + b"}"
        self._headers: Headers = [
            (b"etag", self._tag),
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"Authorization"),
            *([(b"stats-as-of", as_of.encode())] if as_of else []),
            *([(b"stats-notes", b"%d" % len(notes))] if notes and not self._is_object else []),
            *RAW_SAFE_HEADERS,
        ]

    def given(self, if_none_match: bytes) -> tuple[int, Headers, bytes]:
        """Status, headers and body: the answer, or 304 if the asker has it already."""
        lag, headers = b"null", self._headers
        if self._as_of_at is not None:
            lag = b"%.6f" % (time.monotonic() - self._as_of_at)
            headers = [*headers, (b"stats-lag-seconds", lag)]
        if if_none_match:
            known = {each.strip() for each in if_none_match.split(b",")}
            if self._tag in known or b"*" in known:
                return 304, headers, b""
        body = self.content
        if self._is_object:
            body = b'%s,"lagSeconds":%s%s' % (body[:-1], lag, self._rest)
        length = b"%d" % len(body)
        return 200, [*headers, (b"content-type", b"application/json"), (b"content-length", length)], body

    def response(self, if_none_match: bytes) -> Response:
        """The same, from a route."""
        status, headers, body = self.given(if_none_match)
        response = Response(body, status)
        response.raw_headers = headers
        return response


class Kept:
    """Gives an answer again to who asks the same and may ask; it tells no two of them apart."""

    def __init__(
        self,
        look: Callable[[], Awaitable[object]],
        check: Callable[[Scope], None],
        count: Callable[[str, str, int, float], None],
        seconds: float,
        capacity_bytes: int = KEPT_BYTES,
    ) -> None:
        """``seconds``: how often it looks, at most; 0: nothing is kept. ``capacity_bytes``: for all answers.

        ``look`` gives the state that answers rest on. ``check`` raises a :class:`Problem` for a request that
        may not be made. ``count`` notes route, method, status and time of an answer.
        """
        self._look = look
        self._check = check
        self._count = count
        self._seconds = seconds
        self._capacity_bytes = self._room_bytes = capacity_bytes
        self._entries: dict[tuple[bytes, bytes], tuple[Answered, str, int]] = {}
        self._state: object = None
        self._state_at = float("-inf")
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def see(self) -> None:
        """Looks, and forgets all answers if they rest on something else than what is now."""
        self._looked_at = begun = time.monotonic()
        try:
            state = await self._look()
        except psycopg.Error as error:
            # Requests that are answered from the database meanwhile say it.
            logger.debug("%s", error)
            return
        if state != self._state:
            self._entries.clear()
            self._room_bytes = self._capacity_bytes
            self._state = state
        self._state_at = begun

    async def give(self, scope: Scope, send: Send) -> bool:
        """Whether there is an answer, which is given then. Before anything else looks at the request."""
        if scope["type"] != "http":
            return False
        start = time.monotonic()
        oldest = start - 2 * self._seconds
        # What is read now must not be kept under what was known long ago: rows may have come, and go again.
        scope[_STATE] = self._state if self._state_at > oldest else None
        address = scope["raw_path"], scope["query_string"]
        if scope["method"] != "GET":
            return False
        is_due = 0 < self._seconds <= start - self._looked_at
        if is_due and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self.see())
        if address not in self._entries:
            return False
        known = []
        for name, value in scope["headers"]:
            if name in _LOOKED_FOR:
                if name != b"if-none-match":
                    # A body, with its limits.
                    return False
                known.append(value)
        try:
            self._check(scope)
        except Problem:
            return False
        if self._state_at <= oldest and self._looking:
            await asyncio.wait({self._looking}, timeout=WAIT_SECONDS)
            scope[_STATE] = self._state if self._state_at > oldest else None
        entry = self._entries.get(address)
        if entry is None or self._state_at <= oldest:
            return False
        answered, route, _ = entry
        status, headers, body = answered.given(b",".join(known))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._count(route, "GET", status, time.monotonic() - start)
        return True

    def keep(self, request: Request, answered: Answered) -> None:
        """Lets the next who ask the same have this answer.

        Not for what a request of this API changes: who wrote has to see it in the next answer.
        """
        scope = request.scope
        if not self._seconds or scope[_STATE] is None or scope[_STATE] is not self._state:
            # What was read may be older than what is known now.
            return
        address = scope["raw_path"], scope["query_string"]
        size_bytes = _ENTRY_BYTES + len(answered.content) + len(address[0]) + len(address[1])
        self._forget(address)
        self._entries[address] = answered, scope["route"].path_format, size_bytes
        self._room_bytes -= size_bytes
        while self._room_bytes < 0:
            self._forget(next(iter(self._entries)))

    def _forget(self, address: tuple[bytes, bytes]) -> None:
        if entry := self._entries.pop(address, None):
            self._room_bytes += entry[2]
