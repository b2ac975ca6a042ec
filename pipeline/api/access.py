"""Who may do what: bearer tokens with scopes; without any, this machine alone."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pipeline.api.problems import Problem
from pipeline.settings import ApiToken, Scope

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

bearer = HTTPBearer(auto_error=False, description="One of PROMPT_STATS_API_TOKEN.")
Given = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


def requires(scope: Scope) -> Callable[..., Awaitable[None]]:
    """A dependency that lets a request pass whose token has the scope.

    Without tokens a request has to name this machine as its host: a page of another site that has its name
    point here, to have a visitor's browser ask for it, does not.

    :raises Problem: 401 without a known token, 403 if it lacks the scope or the host is another.
    """

    # Not a plain function: FastAPI would send each call to a thread, which takes longer than the check.
    async def check(request: Request, given: Given) -> None:
        tokens: Sequence[ApiToken] = request.app.state.tokens
        if not tokens:
            if request.url.hostname not in LOOPBACK:
                raise Problem(403, "Without PROMPT_STATS_API_TOKEN only this machine is answered")
            return
        secret = given.credentials.encode() if given else b""
        # Each is compared, so that the time says nothing of which one was close.
        known = [token for token in tokens if hmac.compare_digest(token.secret.encode(), secret)]
        if not known:
            raise Problem(401, "Send a known token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        if not any(scope in token.scopes for token in known):
            raise Problem(403, f"This token may not {scope}")

    return check


Reader = Depends(requires(Scope.READ))
Writer = Depends(requires(Scope.WRITE))
