"""One use of a prompt, read from whatever the caller gave: an event, or a rejected event with the reason.

If its prompt and its id can be read, it is an event. A detail that can't be used is corrected or left out,
with a note. Ids are texts as they were spelled, because the types of the app's columns are only known when
they are written (``pipeline.tracking.fitting``). Reading never raises and does no I/O. Names are those of
``PromptTracker.track_post_creation``, so a payload can be tracked again with its keys as keywords.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import reprlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from numbers import Real
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

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
CUT_MARK = "\N{HORIZONTAL ELLIPSIS}"
"""The last character of a text that was cut."""

# Reasons quote what was given, but not pages of it.
_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 200

NO_PROBLEMS: Mapping[str, str] = {}

EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)

Line = Annotated[str, msgspec.Meta(max_length=TEXT_MAX_LENGTH)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX_LENGTH)]
_OF_TIME = msgspec.Meta(ge=0, le=GENERATION_TIME_MAX_MS)

Payload = dict[str, object]
"""An event as JSON: what ``track_post_creation`` was given, absent values left out."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event", omit_defaults=True):
    """One use of a prompt, with values that Postgres can store. Made by :func:`read_event`.

    Ids are spelled as they were given. The prompt has either a UUID or a slug, for which an id that is no
    UUID goes too. ``generation_time_ms`` is in milliseconds. ``created_at`` is when the prompt was used, in
    UTC. ``notes``: what was mended or left out, and why.
    """

    event_id: Id
    prompt_id: Id | None = None
    slug: Line | None = None
    user_id: Id | None = None
    character_id: Id | None = None
    post_id: Id | None = None
    job_id: Id | None = None
    scene: Line | None = None
    environment: Line | None = None
    outfit: Line | None = None
    success: bool | None = None
    generation_time_ms: Annotated[int, _OF_TIME] | Annotated[float, _OF_TIME] | None = None
    error_message: Line | None = None
    created_at: dt.datetime
    notes: tuple[str, ...] = ()

    def rejected(self, reason: str) -> RejectedEvent:
        """The event as one that can't be taken, for a reason that only the database knows."""
        return _rejected(_values_of(self), self.event_id, self.created_at, reason)


class RejectedEvent(msgspec.Struct, frozen=True, tag="rejected"):
    """An event that can't be accepted, the reason, and what is needed to track it again after a fix.

    The payload's ``event_id`` is the one that the caller was told; its ``created_at`` is the caller's, else
    the time at which the event was handed to us, in ISO 8601.
    """

    event_id: str
    reason: str
    payload: Payload

    @property
    def key(self) -> uuid.UUID:
        """By which it is kept once: another spelling may be another event."""
        if _UUID.fullmatch(self.event_id):
            as_uuid = uuid.UUID(self.event_id)
            if str(as_uuid) == self.event_id:
                return as_uuid
        return uuid.uuid5(uuid.NAMESPACE_OID, self.event_id.encode("utf-8", "backslashreplace").decode())


Record = Event | RejectedEvent
"""What becomes of a call, as it waits to be written."""


def mended(record: Record) -> Record:
    """A record that was read from a file, as this module would have made it: anything may be in a file."""
    if isinstance(record, RejectedEvent):
        payload = {
            storable(name): _json(value) for name, value in record.payload.items() if value is not None
        }
        return RejectedEvent(record.event_id, storable(record.reason), payload)
    is_utc = record.created_at.utcoffset() == dt.timedelta()
    if (record.prompt_id or record.slug) and is_utc and _has_storable_texts(record):
        return record
    return read_event(_values_of(record))


def _values_of(event: Event) -> dict[str, object]:
    """What :func:`read_event` makes an event of."""
    values = msgspec.structs.asdict(event)
    del values["notes"]
    values["prompt_id"] = values.pop("slug") or event.prompt_id
    return values


def _has_storable_texts(event: Event) -> bool:
    texts = (
        *(event.event_id, event.prompt_id, event.user_id, event.character_id, event.post_id, event.job_id),
        *(event.slug, event.scene, event.environment, event.outfit, event.error_message),
    )
    return all(text is None or _is_storable(text) for text in texts)


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID as an app spells it."""
    return _UUID.fullmatch(text) is not None


def as_told(record: Record) -> uuid.UUID | str:
    """The id that the caller is told."""
    return uuid.UUID(record.event_id) if _UUID.fullmatch(record.event_id) else record.event_id


def payload_of(record: Record) -> Payload:
    """A record as JSON, for the log."""
    return record.payload if isinstance(record, RejectedEvent) else record.rejected("").payload


def read_event(values: Mapping[str, object], problems: Mapping[str, str] = NO_PROBLEMS) -> Record:
    """The event that ``values`` describe; a rejected one, if its id or its prompt can't be read.

    ``problems`` are those that the caller met already, by the name of the value. An event without
    ``event_id`` gets a new one, which sorts by time. One without ``created_at`` is as old as its id, if that
    is a UUIDv7, so that a call which is repeated means the same day; else it is dated now.
    """
    event = None if problems else _read_quickly(values)
    return event or _read_carefully(values, problems)


def read_given(values: Mapping[str, object]) -> Record:
    """The same for what somebody else put together: names that an event does not have are problems."""
    problems = {name: "is not a field of an event" for name in values if name not in READERS}
    # Given twice: nobody knows which one was meant.
    problems |= {
        name: "is given twice" for name in NEEDED if problems.pop(f"another {name}", None) is not None
    }
    return read_event(values, problems)


def _read_quickly(values: Mapping[str, object]) -> Event | None:
    """The event, if nothing is unusual about it. Some microseconds; says nothing of what is wrong."""
    given = dict(values)
    if given.get("generation_time_ms").__class__ is float:
        return None
    for name in ID_FIELDS:
        value = given.get(name)
        if value.__class__ is uuid.UUID:
            given[name] = str(value)
    prompt, event_id, created_at = given.get("prompt_id"), given.get("event_id"), given.get("created_at")
    if prompt.__class__ is str and not _UUID.fullmatch(prompt):
        given["slug"], given["prompt_id"] = prompt, None
    try:
        if event_id is None:
            given["event_id"] = new_id()
        if created_at is None:
            given["created_at"] = dt.datetime.now(dt.UTC) if event_id is None else _age(event_id)
        else:
            given["created_at"] = _time(created_at)
        event = msgspec.convert(given, Event)
    except Exception:  # whatever it is: the careful reader names it
        return None
    if event.prompt_id is None and not event.slug:
        return None
    return event if _has_storable_texts(event) else None


def _read_carefully(values: Mapping[str, object], problems: Mapping[str, str]) -> Record:
    accepted_at = dt.datetime.now(dt.UTC)
    read: dict[str, Any] = {}
    notes = [f"{name} {said}" for name, said in problems.items() if name not in NEEDED]
    found = [f"{name} {said}" for name, said in problems.items() if name in NEEDED]
    if is_absent(values.get("prompt_id")) and "prompt_id" not in problems:
        found.append("prompt_id is missing")
    for name, reader in READERS.items():
        value = read[name] = values.get(name)
        if value is None:
            continue
        try:
            read[name] = reader(value)
            continue
        except Mended as mended_:
            read[name] = mended_.value
            notes.append(f"{name} {mended_}")
            continue
        except ValueError as error:
            said = f"{name} {error}"
        except Exception as error:  # a value of a foreign class may raise anything
            said = f"{name} can't be read: {_shown.repr(error)}"
        read[name] = None
        found.append(said) if name in NEEDED else notes.append(f"{said}: left out")
    event_id = read["event_id"]
    if found:
        return _rejected(values, event_id or new_id(), accepted_at, "; ".join([*found, *notes]))
    if not _UUID.fullmatch(read["prompt_id"]):
        read["slug"], read["prompt_id"] = read["prompt_id"], None
    read["created_at"] = read["created_at"] or (_age(event_id) if event_id else accepted_at)
    read["event_id"] = event_id or new_id()
    return Event(**read, notes=tuple(map(storable, notes)))


def new_id() -> str:
    """The id of a new event, which sorts by time."""
    return str(uuid_utils.compat.uuid7())


def _age(event_id: object) -> dt.datetime:
    """When an event with that id happened: the id's own time, if it has one in the past, else now."""
    now = dt.datetime.now(dt.UTC)
    if not (isinstance(event_id, str) and _UUID.fullmatch(event_id)):
        return now
    as_uuid = uuid.UUID(event_id)
    milliseconds = as_uuid.int >> 80
    if as_uuid.version != 7 or milliseconds > now.timestamp() * 1000:
        return now
    return EPOCH + dt.timedelta(milliseconds=milliseconds)


def read_post(post: object) -> tuple[dict[str, object], dict[str, str]]:
    """What a post says about its event, and what went wrong while reading it, by the name of the value.

    The post is a mapping or an object; names are in snake_case or camelCase; what is missing is None.
    """
    values: dict[str, object] = {}
    problems = {}
    for name, field in _POST_FIELDS.items():
        try:
            value = _get(post, field)
            values[name] = _get(post, camel_case(field)) if value is None else value
        except Exception as error:  # an attribute may load from a database
            values[name] = None
            problems[name] = f"can't be read from the post: {_shown.repr(error)}"
    return values, problems


def is_absent(prompt_id: object) -> bool:
    """Whether no prompt was used: None, or the empty text of a form without a choice."""
    return prompt_id is None or (isinstance(prompt_id, str) and not prompt_id)


class Mended(ValueError):  # noqa: N818  # it is no error to the caller
    """A value that can be used once it is changed to ``value``; the text says how."""

    def __init__(self, value: object, said: str) -> None:
        super().__init__(said)
        self.value = value


def _id(value: object) -> str:
    if isinstance(value, uuid.UUID | uuid_utils.UUID):
        return str(value)
    if isinstance(value, bytes) and len(value) == UUID_BYTES:
        return str(uuid.UUID(bytes=value))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_ID:
        return str(int(value))
    if not isinstance(value, str) or not value:
        raise ValueError(f"is not an id: {_shown.repr(value)}")
    if len(value) > TEXT_MAX_LENGTH:
        raise ValueError(f"has {len(value):,} characters, more than {TEXT_MAX_LENGTH:,}")
    if not _is_storable(value):
        raise ValueError(_HAS_NOT_STORABLE)
    return str.__str__(value)


_HAS_NOT_STORABLE = "has a NUL character or half a surrogate pair, which Postgres can't store"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is not a string: {_shown.repr(value)}")
    text = str.__str__(value)
    said = []
    if not _is_storable(text):
        text = _NOT_STORABLE.sub(REPLACEMENT, text)
        said.append(f"{_HAS_NOT_STORABLE}: replaced by {REPLACEMENT}")
    if len(text) > TEXT_MAX_LENGTH:
        said.append(f"has {len(text):,} characters, more than {TEXT_MAX_LENGTH:,}: cut")
        text = cut(text, TEXT_MAX_LENGTH)
    if said:
        raise Mended(text, ", and ".join(said))
    return text


def cut(text: str, length: int, mark: str = CUT_MARK) -> str:
    """The beginning of a longer text, with a mark at its end."""
    return text[: length - 1] + mark


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is not True, False or None: {_shown.repr(value)}")
    return value


def _milliseconds(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | Real | Decimal):
        raise ValueError(f"is not a number of milliseconds: {_shown.repr(value)}")
    # An integer may be larger than any float; NaN is not between any two numbers.
    milliseconds: float = value if isinstance(value, int) else float(value)
    if not 0 <= milliseconds <= GENERATION_TIME_MAX_MS:
        raise ValueError(f"is not between 0 and {GENERATION_TIME_MAX_MS:,} ms: {_shown.repr(value)}")
    return int(milliseconds) if milliseconds == int(milliseconds) else milliseconds


def _time(value: object) -> dt.datetime:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"is not an ISO 8601 time: {_shown.repr(value)}") from None
    if not isinstance(value, dt.datetime):
        raise ValueError(f"is not a datetime: {_shown.repr(value)}")
    utc = value.replace(tzinfo=dt.UTC) if value.utcoffset() is None else value.astimezone(dt.UTC)
    # A subclass, as pandas has, is not what a driver expects.
    return utc if utc.__class__ is dt.datetime else dt.datetime.combine(utc.date(), utc.time(), dt.UTC)


READERS: dict[str, Callable[[object], object]] = {
    "event_id": _id,
    "prompt_id": _id,
    "user_id": _id,
    "character_id": _id,
    "post_id": _id,
    "job_id": _id,
    "scene": _text,
    "environment": _text,
    "outfit": _text,
    "success": _boolean,
    "generation_time_ms": _milliseconds,
    "error_message": _text,
    "created_at": _time,
}
"""What an event may have, and what reads it, or raises a ValueError: :class:`Mended` if it can be used."""

ID_FIELDS = tuple(name for name, reader in READERS.items() if reader is _id)

NEEDED = frozenset({"event_id", "prompt_id"})
"""What has to be readable: nobody could say what happened, or know it when it comes again."""

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
    values: Mapping[str, object], event_id: str, accepted_at: dt.datetime, reason: str
) -> RejectedEvent:
    payload: Payload = {storable(name): _json(value) for name, value in values.items() if value is not None}
    payload["event_id"] = event_id
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


def no_prompt(slug: str | None, found: Sequence[object]) -> str:
    """Why an event was rejected whose prompt is none, or one of several."""
    if found:
        return f"{len(found)} prompts have the slug {_shown.repr(slug)}: {', '.join(map(str, found[:5]))}"
    return f"no prompt has the id or slug {_shown.repr(slug)}"


def storable(text: str) -> str:
    """The text with what Postgres can't store written as escapes, the rest unchanged."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", r"\x00")
