"""What a request's address names: text that is UTF-8, and segments that may hold a slash.

Servers decode a path before it is routed, so that ``/prompts/a%2Fb/stats`` would be three segments below
``/prompts``, and put U+FFFD where a byte is no UTF-8, so that two addresses would mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Path, Query
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.web.api.problems import Problem, problem

SLASH = "\udc2f"
"""A slash within a segment, until it is routed: no UTF-8 has it."""

Keys = Annotated[
    list[str] | None,
    Query(
        min_length=1,
        description="Ids, slugs or unique names, separated by commas. If you repeat the parameter, each value"
        " is one key, including its commas.",
        examples=[["portrait-selfie-casual,portrait-studio"]],
    ),
]

STORABLE = r"^[^\x00]*$"
"""Of a text that Postgres can hold."""

UserId = Annotated[str, Path(description="The user's id.", min_length=1, pattern=STORABLE)]

Key = Annotated[
    str,
    Path(
        description="The prompt's id, slug or unique name.",
        min_length=1,
        examples=["portrait-selfie-casual"],
    ),
]


class Segment(StringConvertor):
    """A parameter of a path, ``{name:segment}``, which may hold any text."""

    def convert(self, value: str) -> str:
        """With its slashes."""
        return value.replace(SLASH, "/")


register_url_convertor("segment", Segment())


class StrictAddresses:
    """Refuses an address that is not UTF-8, percent-encoded; keeps encoded slashes within their segment."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what can be read."""
        if scope["type"] == "http":
            try:
                segments = [_text(segment) for segment in scope["raw_path"].split(b"/")]
                _text(scope["query_string"])
            except UnicodeDecodeError:
                refused = Problem(400, "The address is not UTF-8, percent-encoded: a byte in it is no text")
                await problem(refused.status_code, refused.detail)(scope, receive, send)
                return
            # The server's own scope stays as it is: it logs the path, which SLASH can't be in.
            scope = {**scope, "path": "/".join(segment.replace("/", SLASH) for segment in segments)}
        await self._app(scope, receive, send)


def _text(encoded: bytes) -> str:
    """What a percent-encoded text says.

    :raises UnicodeDecodeError: it is not all ASCII, or what it stands for is not UTF-8.
    """
    encoded.decode("ascii")
    return unquote_to_bytes(encoded).decode()


def asked_keys(ids: Sequence[str], longest: int) -> list[str]:
    """The keys that are asked for: separated by commas, or as they are if there are several values.

    :raises Problem: 422, there are none, or too many.
    """
    given = ids if len(ids) > 1 else [key.strip() for key in ids[0].split(",")]
    keys = [key for key in given if key]
    if not 1 <= len(keys) <= longest:
        raise Problem(422, f"Give 1 to {longest} ids, slugs or names, not {len(keys)}")
    return keys
