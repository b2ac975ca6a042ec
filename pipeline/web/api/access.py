"""Who may do what, decided before anything of a request is read but its head. Closed by default.

A request needs a token whose scope goes with its method: to read for GET and HEAD, to write for any other.
``PUBLIC`` names the paths that need none. Whatever else there is, or is added one day, is behind this.

Without tokens this machine alone is answered. Pages of other sites run on this machine too, in somebody's
browser: a request has to name this machine as its host, which one to a name of theirs that points here does
not, and must not come from a page of another origin.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline import settings
from pipeline.settings import ApiToken
from pipeline.web.api.problems import Problem, problem

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

PUBLIC = frozenset({"/", "/health", "/openapi.json"})
PUBLIC_FILES = "/dashboard/"
"""Below it are the files of the page at ``/``, which hold no data."""

READING = frozenset({"GET", "HEAD"})

_LOCAL_HOST = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_OWN_FETCHES = frozenset({b"same-origin", b"none"})


class Guard:
    """Knows who may do what."""

    def __init__(self, tokens: Sequence[ApiToken]) -> None:
        self._tokens = [(token.secret.encode(), token.scopes) for token in tokens]

    def check(self, scope: Scope) -> None:
        """Lets a request pass that may be made.

        :raises Problem: 401 without a known token, 403 if it lacks the scope, or if nobody needs a token and
            it does not come from here.
        """
        is_reading = scope["method"] in READING
        is_public = is_reading and (scope["path"] in PUBLIC or scope["path"].startswith(PUBLIC_FILES))
        if not self._tokens:
            _check_is_local(scope, is_public=is_public)
        elif not is_public:
            self._check_token(scope, settings.Scope.READ if is_reading else settings.Scope.WRITE)

    def _check_token(self, scope: Scope, wanted: settings.Scope) -> None:
        given = _header(scope, b"authorization")
        kind, _, secret = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        if kind.lower() != b"bearer":
            secret = b""
        # Each is compared, so that the time says nothing of which one was close.
        known = [scopes for token, scopes in self._tokens if hmac.compare_digest(token, secret)]
        if not known:
            raise Problem(401, "Send a known token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        if not any(wanted in scopes for scopes in known):
            raise Problem(403, f"This token may not {wanted}")


class Access:
    """Refuses a request that may not be made; as ASGI has it, so that nothing is read before."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what may be."""
        if scope["type"] == "http":
            try:
                self._guard.check(scope)
            except Problem as refused:
                headers = dict(refused.headers or {})
                if not any(_header(scope, name) for name in (b"content-length", b"transfer-encoding")):
                    # What else came on this connection is not looked at. With a body on its way the answer
                    # would be lost.
                    headers["Connection"] = "close"
                await problem(refused.status_code, refused.detail, headers)(scope, receive, send)
                return
        elif scope["type"] == "websocket":
            # There are none, and one would come by without the above.
            await send({"type": "websocket.close"})
            return
        await self._app(scope, receive, send)


def _check_is_local(scope: Scope, *, is_public: bool) -> None:
    hosts = _header(scope, b"host")
    if len(hosts) != 1 or not _LOCAL_HOST.fullmatch(hosts[0]):
        raise Problem(
            403, "Without PROMPT_STATS_API_TOKEN only this machine is answered: name it as the host"
        )
    if is_public:
        return
    own = {b"http://" + hosts[0].lower(), b"https://" + hosts[0].lower()}
    if any(origin.lower() not in own for origin in _header(scope, b"origin")) or any(
        site not in _OWN_FETCHES for site in _header(scope, b"sec-fetch-site")
    ):
        raise Problem(403, "Without PROMPT_STATS_API_TOKEN no page of another origin is answered")


def _header(scope: Scope, name: bytes) -> list[bytes]:
    """The header as often as it was sent."""
    return [value for given, value in scope["headers"] if given == name]
