"""``POST /events``: appends events for writers without a database connection."""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import psycopg
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from pipeline.limits import EVENT_MAX_BYTES, EVENTS_MAX, MIB
from pipeline.tracking.batches import Appended, append_events, fault_on
from pipeline.tracking.event import IGNORED_FIELDS, READERS, Record, camel_case, read_given
from pipeline.tracking.faults import Fault
from pipeline.tracking.given_json import UNREADABLE, decode
from pipeline.web.api.answers import Answer
from pipeline.web.api.connections import Writers, WritingConnection, write
from pipeline.web.api.problems import RETRY_SECONDS, Problem

logger = logging.getLogger(__name__)

JSON = "application/json"
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")

NAMES = {given: name for name in (*READERS, *IGNORED_FIELDS) for given in (name, camel_case(name))}
"""The names that a field may have, snake_case or camelCase."""

Values = Mapping[str, object]
Text = bytearray | msgspec.Raw

_ARRAY = re.compile(rb"\s*\[")
# As JSON.stringify writes half a surrogate pair. A backslash that stands for itself begins no escape.
_HALF_PAIR = re.compile(
    rb"\\(?:\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u(?P<half>[dD][89a-fA-F][0-9a-fA-F]{2}))"
)
VALUES_MAX = 50 * EVENTS_MAX
"""Values of a body that is read by the slower parser, about: each is an object of Python's."""

_NO_ITEM = msgspec.Raw()
# An array up to a length: it is given up at the first item beyond.
_ITEMS = msgspec.json.Decoder(
    msgspec.defstruct(
        "Items",
        [(f"item_{number}", msgspec.Raw, _NO_ITEM) for number in range(EVENTS_MAX)],
        array_like=True,
        forbid_unknown_fields=True,
    )
)

router = APIRouter(tags=["events"])


class RejectedEvent(Answer):
    """An event that was not accepted."""

    line: Annotated[int, Field(description="The event's place in the request, from 1.", examples=[2])]
    event_id: Annotated[str | None, Field(description="The id as given; null if it can't be read.")]
    reason: Annotated[str, Field(examples=["no prompt has the id or slug 'portait-selfie'"])]


class EventWarning(Answer):
    """A detail of an accepted event that could not be used as given."""

    line: Annotated[int, Field(description="The event's place in the request, from 1.", examples=[3])]
    event_id: Annotated[str, Field(description="The id as given.")]
    warning: Annotated[str, Field(examples=["error_message has 12,000 characters, more than 10,000: cut"])]


class EventsAnswer(Answer):
    """What happened to the events of a request."""

    taken: Annotated[int, Field(description="Events in the database, including those of earlier requests.")]
    rejected: list[RejectedEvent]
    warnings: Annotated[
        list[EventWarning], Field(description="Details of accepted events that were corrected or left out.")
    ]


EXAMPLE = {
    "eventId": "0198f3c4-5a00-7c4e-9d0a-3b2f1e6d7c8b",
    "promptId": "portrait-selfie-casual",
    "userId": "5b0f6f3e-6d1c-4f6e-8a53-0d8b9f0f7a11",
    "scene": "cafe",
    "success": True,
    "generationTimeMs": 5000,
    "createdAt": "2026-01-31T12:00:00Z",
}
BODY = {
    "required": True,
    "content": {
        JSON: {"schema": {"type": "array", "items": {"type": "object"}}, "example": [EXAMPLE]},
        LINES[0]: {"schema": {"type": "string"}, "example": msgspec.json.encode(EXAMPLE).decode() + "\n"},
    },
}


@router.post(
    "/events",
    summary="Append usage events",
    openapi_extra={"requestBody": BODY},
)
async def post_events(request: Request) -> EventsAnswer:
    """Appends up to 10,000 events: a JSON array, a single object, or one object per line.

    Names are those of `PromptTracker.track_post_creation`, in snake_case or camelCase. `eventId` is required.
    Choose it before the first attempt: a UUID, or an id of the kind that your app uses. Sending the same id
    again changes nothing, so you can repeat a request that got no answer.

    The answer is 200 when each event is either in the database or rejected. `rejected` lists the rejected
    events with the reasons. If a rejected event has an id, it is also kept in `prompt_usage_rejected`. An
    event is accepted even if one of its details can't be used: the detail is corrected or left out, and
    `warnings` says so.

    503 means that no event was accepted, because the database does not answer or its table accepts none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, *LINES):
        raise Problem(415, f"Send {JSON}, or {LINES[0]} with an event a line")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "Send the body as it is, without Content-Encoding")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
    return await run_in_threadpool(_append, request.app.state.writers, body, is_lines=kind != JSON)


def _append(writers: Writers, body: bytearray, *, is_lines: bool) -> EventsAnswer:
    _mend_half_pairs(body)
    given = _lines(body) if is_lines else _array(body)
    rejected: dict[int, str] = {}
    records = {}
    # One after the other: what an event is made of is gone before the next one is looked at.
    for line, text in given.items():
        try:
            records[line] = read_given(_named(text))
        except ValueError as error:
            rejected[line] = str(error)
    if records:
        # Event ids make it safe to append them again.
        appended = write(writers, lambda connection: _appended(connection, list(records.values())))
    else:
        appended = Appended()
    lines = list(records)
    rejected |= {lines[place]: reason for place, reason in appended.rejected.items()}
    return EventsAnswer(
        taken=len(given) - len(rejected),
        rejected=[
            RejectedEvent(
                line=line, event_id=records[line].event_id if line in records else None, reason=reason
            )
            for line, reason in sorted(rejected.items())
        ],
        warnings=[
            EventWarning(line=lines[place], event_id=records[lines[place]].event_id, warning=note)
            for place, notes in sorted(appended.notes.items())
            for note in notes
        ],
    )


def _appended(connection: WritingConnection, records: list[Record]) -> Appended:
    """Appends them.

    :raises Problem: 503, the table takes no event.
    """
    try:
        return append_events(connection, records)
    except psycopg.Error as error:
        if fault_on(connection, error) is not Fault.TABLE:
            raise
        logger.error("The table accepts no events: %s", error)
        # The next attempt looks at the table anew.
        connection.close()
        raise Problem(
            503,
            "No event was taken: the table takes none. The log says why, and prompt-stats doctor what to do",
            {"Retry-After": str(RETRY_SECONDS)},
        ) from error


def _mend_half_pairs(body: bytearray) -> None:
    """Replaces half a surrogate pair, which the parser refuses, by NUL, which is mended with a warning.

    In place: what takes its place is as long.
    """
    for found in _HALF_PAIR.finditer(body):
        if found["half"]:
            body[slice(*found.span("half"))] = b"0000"


def _too_many() -> Problem:
    return Problem(413, f"Send at most {EVENTS_MAX:,} events at once")


def _array(body: bytearray) -> dict[int, Text]:
    """The JSON of each event; the body may be one alone.

    :raises Problem: 400, it is not JSON; 413, there are too many.
    """
    text = memoryview(body)[len(codecs.BOM_UTF8) if body.startswith(codecs.BOM_UTF8) else 0 :]
    commas = body.count(b",")
    try:
        # A list is built whole before its length is looked at, so it is for those that can't be too long.
        items = _items(text, is_short=commas < EVENTS_MAX)
    except UNREADABLE as error:
        if commas > VALUES_MAX:
            raise _too_many() from None
        try:
            items = _read_items(text)
        except UNREADABLE:
            raise Problem(400, f"The body is not JSON: {error}") from None
    return dict(enumerate(items, start=1))


def _read_items(text: memoryview) -> list[msgspec.Raw]:
    """The same for a body of which the quick parser can't read a number: it hides no other event.

    :raises Problem: 413, there are too many.
    """
    given = decode(text)
    items = given if isinstance(given, list) else [given]
    if len(items) > EVENTS_MAX:
        raise _too_many()
    return [msgspec.Raw(json.dumps(each).encode()) for each in items]


def _items(text: memoryview, *, is_short: bool) -> list[msgspec.Raw]:
    try:
        if not _ARRAY.match(text):
            return [msgspec.json.decode(text, type=msgspec.Raw)]
        if is_short:
            return msgspec.json.decode(text, type=list[msgspec.Raw])
        return [each for each in msgspec.structs.astuple(_ITEMS.decode(text)) if each is not _NO_ITEM]
    except msgspec.ValidationError:
        raise _too_many() from None


def _lines(body: bytearray) -> dict[int, Text]:
    """The lines that are not empty.

    :raises Problem: 413, there are too many lines.
    """
    if body.count(b"\n") > EVENTS_MAX:
        raise _too_many()
    lines = body.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return {number: line for number, line in enumerate(lines, start=1) if line.strip()}


def _named(text: Text) -> Values:
    """The values of an event by their names in snake_case.

    :raises ValueError: it is no event, or has no id, so that nobody could know it when it comes again.
    """
    if memoryview(text).nbytes > EVENT_MAX_BYTES:
        raise ValueError(f"larger than {EVENT_MAX_BYTES // MIB} MiB")
    try:
        values = decode(text)
    except UNREADABLE as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError("not an object")
    named: dict[str, Any] = {}
    for given, value in values.items():
        name = NAMES.get(str(given), str(given))
        # In both spellings: nobody knows which one was meant, so both are kept.
        named[f"another {name}" if name in named else name] = value
    try:
        READERS["event_id"](named.get("event_id"))
    except ValueError:
        raise ValueError(
            "event_id is missing or not an id, so a repeated request would count twice"
        ) from None
    for name in IGNORED_FIELDS:
        named.pop(name, None)
    return named
