"""One use of a prompt, read from whatever the caller gave: an event, or a rejected event with the reason.

Reading never raises and does no I/O. Names are those of ``PromptTracker.track_post_creation``, so a
payload can be tracked again with its keys as keywords.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import reprlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import uuid_utils
import uuid_utils.compat

from pipeline.limits import GENERATION_TIME_MAX_MS, PAYLOAD_TEXT_MAX_LENGTH, TEXT_MAX_LENGTH

UUID_BYTES = 16

LARGEST_ID = 2**63
"""A number that is an id is below it."""

# uuid.UUID() also reads braces, underscores and digits of other scripts, which a slug may have.
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

# Reasons quote what was given, but not pages of it.
_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 200

EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)

Line = Annotated[str, msgspec.Meta(max_length=TEXT_MAX_LENGTH)]

Payload = dict[str, object]
"""An event as JSON: what ``track_post_creation`` was given, absent values left out."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event", omit_defaults=True):
    """One use of a prompt, with values that fit their columns. Made by :func:`read_event`.

    The prompt has either a UUID or a slug, for which an id that is no UUID goes too. ``generation_time_ms``
    is in milliseconds. ``created_at`` is when the prompt was used, in UTC.
    """

    event_id: uuid.UUID
    prompt_id: uuid.UUID | None = None
    slug: Line | None = None
    user_id: uuid.UUID | None = None
    character_id: uuid.UUID | None = None
    post_id: uuid.UUID | None = None
    job_id: uuid.UUID | None = None
    scene: Line | None = None
    environment: Line | None = None
    outfit: Line | None = None
    success: bool | None = None
    generation_time_ms: Annotated[int, msgspec.Meta(ge=0, le=GENERATION_TIME_MAX_MS)] | None = None
    error_message: Line | None = None
    created_at: dt.datetime

    def rejected(self, reason: str) -> RejectedEvent:
        """The event as one that can't be taken, for a reason that only the database knows."""
        values = msgspec.structs.asdict(self)
        values["prompt_id"] = values.pop("slug") or self.prompt_id
        return _rejected(values, self.event_id, self.created_at, reason)


class RejectedEvent(msgspec.Struct, frozen=True, tag="rejected"):
    """An event that can't be taken, why, and what is needed to track it again once that is put right.

    The payload's ``event_id`` is always a UUID, the one that the caller was told; its ``created_at`` is
    the caller's, else the time at which the event was handed to us, in ISO 8601.
    """

    event_id: uuid.UUID
    reason: str
    payload: Payload


Record = Event | RejectedEvent
"""What becomes of a call, as it waits to be written."""


def mended(record: Record) -> Record:
    """A record that was read from a file, as this module would have made it: anything may be in a file."""
    if isinstance(record, RejectedEvent):
        payload = {
            storable(name): _json(value) for name, value in record.payload.items() if value is not None
        }
        return RejectedEvent(record.event_id, storable(record.reason), payload)
    texts = (record.slug, record.scene, record.environment, record.outfit, record.error_message)
    is_utc = record.created_at.utcoffset() == dt.timedelta()
    if (record.prompt_id or record.slug) and is_utc and all(_is_storable(each or "") for each in texts):
        return record
    values = msgspec.structs.asdict(record)
    values["prompt_id"] = values.pop("slug") or record.prompt_id
    return read_event(values)


def payload_of(record: Record) -> Payload:
    """A record as JSON, for the log."""
    return record.payload if isinstance(record, RejectedEvent) else record.rejected("").payload


def read_event(values: Mapping[str, object], problems: Sequence[str] = ()) -> Record:
    """The event that ``values`` describe, or a rejected one that names everything wrong with them.

    ``problems`` are those that the caller met already. An event without ``event_id`` gets a new one,
    which sorts by time. One without ``created_at`` is as old as its id, if that is a UUIDv7, so that a call
    which is repeated means the same day; else it is dated now.
    """
    event = None if problems else _read_quickly(values)
    return event or _read_carefully(values, problems)


def read_given(values: Mapping[str, object]) -> Record:
    """The same for what somebody else put together: names that an event does not have are problems."""
    return read_event(
        values, [f"{name} is not a field of an event" for name in values if name not in READERS]
    )


def _read_quickly(values: Mapping[str, object]) -> Event | None:
    """The event, if nothing is unusual about it. Some microseconds; says nothing of what is wrong."""
    given = dict(values)
    prompt, event_id, created_at = given.get("prompt_id"), given.get("event_id"), given.get("created_at")
    if prompt.__class__ is str and not _UUID.fullmatch(prompt):
        given["slug"], given["prompt_id"] = prompt, None
    try:
        if event_id is None:
            given["event_id"] = uuid_utils.compat.uuid7()
        if created_at is None:
            given["created_at"] = dt.datetime.now(dt.UTC) if event_id is None else _age(_uuid(event_id))
        else:
            given["created_at"] = _time(created_at)
        event = msgspec.convert(given, Event)
    except Exception:  # whatever it is: the careful reader names it
        return None
    if event.prompt_id is None and not event.slug:
        return None
    texts = (event.slug, event.scene, event.environment, event.outfit, event.error_message)
    return event if all(text is None or _is_storable(text) for text in texts) else None


def _read_carefully(values: Mapping[str, object], problems: Sequence[str]) -> Record:
    accepted_at = dt.datetime.now(dt.UTC)
    read: dict[str, Any] = {}
    found = list(problems)
    if is_absent(values.get("prompt_id")):
        found.append("prompt_id is missing")
    for name, reader in READERS.items():
        value = values.get(name)
        try:
            read[name] = None if value is None else reader(value)
        except ValueError as error:
            found.append(f"{name} {error}")
        except Exception as error:  # a value of a foreign class may raise anything
            found.append(f"{name} can't be read: {_shown.repr(error)}")
    event_id = read.get("event_id")
    if found:
        return _rejected(values, event_id or uuid_utils.compat.uuid7(), accepted_at, "; ".join(found))
    if isinstance(read["prompt_id"], str):
        read["slug"], read["prompt_id"] = read["prompt_id"], None
    read["created_at"] = read["created_at"] or (_age(event_id) if event_id else accepted_at)
    read["event_id"] = event_id or uuid_utils.compat.uuid7()
    return Event(**read)


def _age(event_id: uuid.UUID) -> dt.datetime:
    """When an event with that id happened: the id's own time, if it has one in the past, else now."""
    now = dt.datetime.now(dt.UTC)
    milliseconds = event_id.int >> 80
    if event_id.version != 7 or milliseconds > now.timestamp() * 1000:
        return now
    return EPOCH + dt.timedelta(milliseconds=milliseconds)


def read_post(post: object) -> tuple[dict[str, object], list[str]]:
    """What a post says about its event, and what went wrong while reading it.

    The post is a mapping or an object; names are in snake_case or camelCase; what is missing is None.
    """
    values: dict[str, object] = {}
    problems = []
    for name, field in _POST_FIELDS.items():
        try:
            value = _get(post, field)
            values[name] = _get(post, camel_case(field)) if value is None else value
        except Exception as error:  # an attribute may load from a database
            values[name] = None
            problems.append(f"{field} of the post can't be read: {_shown.repr(error)}")
    return values, problems


def is_absent(prompt_id: object) -> bool:
    """Whether no prompt was used: None, or the empty text of a form without a choice."""
    return prompt_id is None or (isinstance(prompt_id, str) and not prompt_id)


def _uuid(value: object) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, uuid_utils.UUID):
        return uuid.UUID(int=value.int)
    if isinstance(value, str) and _UUID.fullmatch(value):
        return uuid.UUID(value)
    if isinstance(value, bytes) and len(value) == UUID_BYTES:
        return uuid.UUID(bytes=value)
    raise ValueError(f"is not a UUID: {_shown.repr(value)}")


def _uuid_or_slug(value: object) -> uuid.UUID | str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_ID:
        return str(value)
    if isinstance(value, str) and not _UUID.fullmatch(value):
        return _text(value)
    return _uuid(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is not a text: {_shown.repr(value)}")
    if len(value) > TEXT_MAX_LENGTH:
        raise ValueError(f"has {len(value):,} characters, more than {TEXT_MAX_LENGTH:,}")
    if not _is_storable(value):
        raise ValueError("has a NUL character or half a surrogate pair, which Postgres can't store")
    return str.__str__(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is not True, False or None: {_shown.repr(value)}")
    return value


def _milliseconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"is not a whole number of milliseconds: {_shown.repr(value)}")
    if not 0 <= value <= GENERATION_TIME_MAX_MS:
        raise ValueError(f"is not between 0 and {GENERATION_TIME_MAX_MS:,} ms: {_shown.repr(value)}")
    return value


def _time(value: object) -> dt.datetime:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"is not a time in ISO 8601: {_shown.repr(value)}") from None
    if not isinstance(value, dt.datetime):
        raise ValueError(f"is not a datetime: {_shown.repr(value)}")
    utc = value.replace(tzinfo=dt.UTC) if value.utcoffset() is None else value.astimezone(dt.UTC)
    # A subclass, as pandas has, is not what a driver expects.
    return utc if utc.__class__ is dt.datetime else dt.datetime.combine(utc.date(), utc.time(), dt.UTC)


READERS: dict[str, Callable[[object], object]] = {
    "event_id": _uuid,
    "prompt_id": _uuid_or_slug,
    "user_id": _uuid,
    "character_id": _uuid,
    "post_id": _uuid,
    "job_id": _uuid,
    "scene": _text,
    "environment": _text,
    "outfit": _text,
    "success": _boolean,
    "generation_time_ms": _milliseconds,
    "error_message": _text,
    "created_at": _time,
}
"""What an event may have, and what reads it or raises a ValueError."""

IGNORED_FIELDS = ("prompt", "negative_prompt")
"""What callers have at hand and ``posts`` has already: accepted, and not stored."""

_POST_FIELDS = {
    "post_id": "id",
    "prompt_id": "prompt_id",
    "user_id": "user_id",
    "character_id": "character_id",
    "job_id": "job_id",
    "scene": "scene",
    "environment": "environment",
    "outfit": "outfit",
}


def _get(post: object, name: str) -> object:
    return post.get(name) if isinstance(post, Mapping) else getattr(post, name, None)


@lru_cache(maxsize=1_000)
def camel_case(name: str) -> str:
    """A name in snake_case as an app in TypeScript spells it."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _rejected(
    values: Mapping[str, object], event_id: uuid.UUID, accepted_at: dt.datetime, reason: str
) -> RejectedEvent:
    payload: Payload = {storable(name): _json(value) for name, value in values.items() if value is not None}
    payload["event_id"] = str(event_id)
    payload.setdefault("created_at", accepted_at.isoformat())
    return RejectedEvent(event_id, storable(reason), payload)


def _json(value: object) -> object:
    """The value as JSON that Postgres stores: itself, else its type and text, which no field accepts."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, dict) and value.keys() == {"type", "text"}:
        # It came from here before.
        return {name: storable(str(part)) for name, part in value.items()}
    try:
        text = value.isoformat() if isinstance(value, dt.datetime) else str(value)
    except Exception:  # a value of a foreign class may raise anything
        text = ""
    kept = storable(text[:PAYLOAD_TEXT_MAX_LENGTH])
    is_itself = isinstance(value, str | dt.datetime | uuid.UUID | uuid_utils.UUID) and kept == text
    return kept if is_itself else {"type": type(value).__name__, "text": kept}


def _is_storable(text: str) -> bool:
    if "\0" in text:
        return False
    return text.isascii() or storable(text) == text


def storable(text: str) -> str:
    """The text with what Postgres can't store written as escapes, the rest unchanged."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", r"\x00")
