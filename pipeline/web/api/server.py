"""How the API is served: uvicorn, with the limits that it does not have itself.

uvicorn waits without end for a request that does not arrive, for a client that does not take its answer, and
keeps a request's head whatever its size. What keeps to a limit here notices nothing, and pays for no timer.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.limits import ARRIVAL_SECONDS, CONNECTIONS_MAX, HEAD_MAX_BYTES, STALLED_SECONDS

LOOK_SECONDS = 5.0
"""How often a connection is looked at."""

CHUNK_FRAME_BYTES = 16
"""Around a piece of a body that has no length; what it may take without counting as head."""

PIPELINED_MAX = 4
"""Requests that wait behind one that is being answered: each takes memory before it is looked at."""

SAY_EVERY_SECONDS = 60.0
"""How often the log has the same warning of what strangers send."""

DESCRIPTORS_MAX = 10_240
"""As many as are of use, and as many as macOS grants."""

DESCRIPTORS_KEPT = 200
"""For the database, the lake, exports and the rest."""

CONNECTIONS_MIN = 50


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed if its client takes too long, and a request that is refused if too large.

    Beyond ``limit_concurrency``, the connection goes that for longest has no request that is being answered.
    """

    _arriving = True
    """Whether a request has begun to arrive, or a new connection's first has yet to."""
    _since = 0.0
    """When that began, or else when the last answer was given."""
    _head_bytes = 0
    _stalled_since: float | None = None
    _look: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """As uvicorn's, once there is room."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._look = self.loop.call_later(LOOK_SECONDS, self._look_after)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's."""
        self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, as long as the head is not too large."""
        if not self._arriving:
            self._begin()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_MAX_BYTES and not self.transport.is_closing():
            self.send_400_response(f"Send a head of at most {HEAD_MAX_BYTES} bytes")

    def on_message_begin(self) -> None:
        """As uvicorn's, up to a number of requests at once.

        :raises ValueError: there are too many; the parser makes it a 400.
        """
        if len(self.pipeline) >= PIPELINED_MAX:
            self.pipeline.clear()
            raise ValueError("too many requests without waiting for an answer")
        if not self._arriving:
            self._begin()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """As uvicorn's, with parameters of any length, and without a host in the address.

        One in there would go before that of the header.

        :raises ValueError: there is one; the parser makes it a 400.
        """
        if not self.url.startswith(b"/"):
            raise ValueError("this is no proxy")
        # The parser of addresses has no more than 64 KiB.
        self.url, _, parameters = self.url.partition(b"?")
        super().on_headers_complete()
        self.scope["query_string"] = parameters

    def on_body(self, body: bytes) -> None:
        """As uvicorn's."""
        self._head_bytes = max(0, self._head_bytes - len(body) - CHUNK_FRAME_BYTES)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """As uvicorn's."""
        self._arriving = False
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's."""
        if not self._arriving:
            self._since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """As uvicorn's."""
        self._stalled_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """As uvicorn's."""
        self._stalled_since = None
        super().resume_writing()

    @property
    def is_idle(self) -> bool:
        """Whether there is no request that is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _begin(self) -> None:
        self._arriving = True
        self._since = self.loop.time()

    def _look_after(self) -> None:
        now = self.loop.time()
        is_late = self._arriving and now - self._since > ARRIVAL_SECONDS
        is_stalled = self._stalled_since is not None and now - self._stalled_since > STALLED_SECONDS
        if is_late or is_stalled:
            # close() would wait for what the client does not take.
            self.transport.abort()
        else:
            self._look = self.loop.call_later(LOOK_SECONDS, self._look_after)

    def _make_room(self) -> None:
        idle = [each for each in self.connections if isinstance(each, BoundedProtocol) and each.is_idle]
        oldest = min(idle, key=lambda each: each._since)
        # It is lost at the loop's next turn, and must not be chosen again before.
        self.connections.discard(oldest)
        oldest.transport.abort()


class SeldomSaid(logging.Filter):
    """Lets the same warning pass once in a while: a stranger can have uvicorn repeat it for each request."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it passes; errors always do."""
        if record.levelno != logging.WARNING:
            return True
        is_due = record.created - self._said_at.get(str(record.msg), 0.0) >= SAY_EVERY_SECONDS
        if is_due:
            self._said_at[str(record.msg)] = record.created
        return is_due


_seldom_said = SeldomSaid()


def server_config(app: FastAPI, **options: Any) -> uvicorn.Config:
    """The configuration of uvicorn for the API, and what else it is to have."""
    logging.getLogger("uvicorn.error").addFilter(_seldom_said)
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        # There are none, and they would not be bounded.
        ws="none",
        limit_concurrency=max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, _descriptors() - DESCRIPTORS_KEPT)),
        # /metrics counts and times the answers; a line for each would take a tenth of the time to answer.
        access_log=False,
        server_header=False,
        **options,
    )


def run(app: FastAPI, **options: Any) -> None:
    """Serves until the process is told to end."""
    _raise_descriptors()
    uvicorn.Server(server_config(app, **options)).run()


def _raise_descriptors() -> None:
    """Has this process open as many files and connections as it may: the usual limit is for old programs."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _descriptors() -> int:
    if sys.platform == "win32":
        return DESCRIPTORS_MAX
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft
