"""A call that waits in memory, with its values as given. The thread that sends it reads them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import NamedTuple

import uuid_utils.compat

from pipeline.tracking.event import Payload, Record, as_told, payload_of, read_event

IMMUTABLE = frozenset({type(None), bool, int, float, str, uuid.UUID})
"""Types of values that can't change later, and that can be read without running an app's code."""


class Call(NamedTuple):
    """The arguments of ``track_post_creation``, with the id and the time of the event."""

    event_id: uuid.UUID
    created_at: dt.datetime
    post_id: object
    user_id: object
    character_id: object
    job_id: object
    prompt_id: object
    scene: object
    environment: object
    outfit: object
    success: object
    generation_time_ms: object
    error_message: object

    def read(self) -> Record:
        """The event."""
        return read_event(self._asdict())


Waiting = Record | Call
"""What waits in memory."""


def call_of(values: tuple[object, ...]) -> Call | None:
    """The call with these values, of a new event that happens now; None if they have to be read at once."""
    if not IMMUTABLE.issuperset(map(type, values)):
        return None
    return Call(uuid_utils.compat.uuid7(), dt.datetime.now(dt.UTC), *values)


def record_of(waiting: Waiting) -> Record:
    """The record, read if it has not been."""
    return waiting.read() if isinstance(waiting, Call) else waiting


def id_of(waiting: Waiting) -> uuid.UUID | str:
    """The id that the caller gets."""
    return waiting.event_id if isinstance(waiting, Call) else as_told(waiting)


def shown(waiting: Waiting) -> Payload:
    """It as JSON, for the log."""
    return payload_of(record_of(waiting))
