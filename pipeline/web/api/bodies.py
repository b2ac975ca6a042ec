"""How large a request's body may be: whatever reads it, and whether its length was announced or not.

FastAPI has such a limit too, but answers in another form than the rest of this API.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.limits import BODY_MAX_BYTES, EVENTS_MAX_BYTES, MIB
from pipeline.web.api.problems import Problem, problem

LARGER = {"/events": EVENTS_MAX_BYTES}
"""What may have more than ``BODY_MAX_BYTES``."""


class BoundedBodies:
    """Refuses a body that says it is too large before it is read, and another one where it becomes so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is not too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = LARGER.get(scope["path"], BODY_MAX_BYTES)
        refused = Problem(413, f"Send a body of at most {limit // MIB} MiB")
        # The parser let digits alone pass.
        if any(int(value) > limit for name, value in scope["headers"] if name == b"content-length"):
            await problem(refused.status_code, refused.detail)(scope, receive, send)
            return
        size = 0

        async def receive_bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise refused
            return message

        await self._app(scope, receive_bounded, send)
