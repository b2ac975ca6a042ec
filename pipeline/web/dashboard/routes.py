"""Serves the dashboard at ``/``. Its files hold no data and need no token; what they ask the API for does."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cache

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from pipeline.web.dashboard import page

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    # Looked at again each time: a new version's files have to fit each other.
    "Cache-Control": "no-cache",
}


def add_dashboard(app: FastAPI) -> None:
    """Adds the page and its files to the app; they are no part of what the API describes."""
    app.router.routes += [Route("/", _page), Route("/dashboard/{name}", _file)]


# Not coroutines: to put Vega together takes time, which others should not wait for.
def _page(request: Request) -> Response:
    headers = {"Content-Security-Policy": page.served_policy(), "X-Frame-Options": "DENY"}
    return _answer(request, page.PAGE, headers)


def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in page.names():
        raise HTTPException(404, f"The dashboard has no file {name!r}")
    return _answer(request, name, {})


def _answer(request: Request, name: str, headers: dict[str, str]) -> Response:
    tag = _tag(name)
    headers = {**HEADERS, **headers, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(page.content(name), media_type=mimetypes.guess_type(name)[0], headers=headers)


@cache
def _tag(name: str) -> str:
    return f'"{hashlib.blake2b(page.content(name), digest_size=8).hexdigest()}"'
