"""Errors as ``application/problem+json`` (RFC 9457): what was wrong, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg.errors import InvalidTextRepresentation, NumericValueOutOfRange
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipeline.database.connections import Fault, cause_of, fault_of
from pipeline.errors import AmbiguousError, InputError, NotFoundError, PromptStatsError, readable
from pipeline.web.api.headers import SAFE_HEADERS

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5
"""When to ask again after an outage."""


MEDIA_TYPE = "application/problem+json"
_DESCRIPTION = {
    "content": {
        MEDIA_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "errors": {"type": "array", "items": {"type": "object"}},
                },
            },
            "example": {
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "Looking for the prompt 'portait': there is none with this id, slug or name. …",
            },
        }
    }
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, **_DESCRIPTION}
    for status, meaning in (
        (401, "The token is missing or unknown."),
        (403, "The token does not allow this."),
        (404, "It does not exist."),
        (409, "Several prompts have this slug or name. The detail lists their ids."),
        (413, "The body is too large."),
        (422, "A parameter can't be used."),
        (500, "The program has a bug."),
        (503, "The database does not answer, or is not set up."),
        ("default", "Anything else that went wrong."),
    )
}
"""For the OpenAPI description."""


class Problem(HTTPException):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)


def answer_with_problems(app: FastAPI) -> None:
    """Has the app answer each error in the one form."""
    app.exception_handler(HTTPException)(_of_http)
    app.exception_handler(RequestValidationError)(_of_parameters)
    app.exception_handler(ClientDisconnect)(_of_client)
    app.exception_handler(PromptStatsError)(_of_ours)
    for error in (InvalidTextRepresentation, NumericValueOutOfRange):
        app.exception_handler(error)(_of_id)
    app.exception_handler(psycopg.Error)(_of_database)
    app.exception_handler(DBAPIError)(_of_database)
    app.exception_handler(Exception)(_unexpected)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    """The answer that is an error, with ``more`` members.

    It has its headers by itself: that of an unforeseen error passes no middleware.
    """
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse({**body, **more}, status, {**SAFE_HEADERS, **(headers or {})}, media_type=MEDIA_TYPE)


async def _of_http(_request: Request, error: HTTPException) -> JSONResponse:
    return problem(error.status_code, error.detail, error.headers)


async def _of_client(_request: Request, _error: ClientDisconnect) -> JSONResponse:
    # Nobody hears it, and it is no fault of the program.
    return problem(400, "The connection was closed before all had arrived")


async def _of_parameters(_request: Request, error: RequestValidationError) -> JSONResponse:
    errors = [
        {"name": ".".join(str(part) for part in wrong["loc"][1:]), "wrong": wrong["msg"]}
        for wrong in error.errors()
    ]
    detail = "; ".join(f"{wrong['name']}: {wrong['wrong']}" for wrong in errors)
    return problem(422, detail, errors=errors)


async def _of_ours(_request: Request, error: PromptStatsError) -> JSONResponse:
    match error:
        case NotFoundError():
            return problem(404, str(error))
        case AmbiguousError():
            return problem(409, str(error))
        case InputError():
            return problem(422, str(error))
    logger.error("%s", error)
    return problem(503, "The stats can't be read now; the log says why", {"Retry-After": str(RETRY_SECONDS)})


async def _of_id(_request: Request, error: psycopg.Error) -> JSONResponse:
    return problem(422, f"An id is not of the kind that this database has: {error.diag.message_primary}")


async def _of_database(request: Request, error: psycopg.Error | DBAPIError) -> JSONResponse:
    fault = fault_of(error)
    if fault is Fault.PROGRAM:
        return await _unexpected(request, error)
    if fault is Fault.TEXT:
        return problem(422, f"{readable(cause_of(error))}. {fault.value}")
    logger.error("The database did not answer: %s", error)
    detail = (
        "The database does not answer; ask again later"
        if fault in {Fault.OUTAGE, Fault.READ_ONLY}
        else "The database is not set up for this; the log says what is missing"
    )
    return problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    logger.error("An answer failed", exc_info=error)
    return problem(500, "This is a fault of prompt-stats; the log says more")
