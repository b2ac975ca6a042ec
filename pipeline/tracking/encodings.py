"""Texts for databases with an encoding other than UTF-8. Missing characters are written as escapes."""

from __future__ import annotations

import codecs
from functools import cache
from typing import Any

import msgspec

from pipeline.tracking.event import CUT_MARK, Event, Record, RejectedEvent

NOTE = "has characters that the database's encoding lacks, and was written with escapes"


def fitted(record: Record, encoding: str) -> Record:
    r"""The record as a database can hold it: ``café 🎉`` is ``café \U0001f389`` in LATIN1.

    ``encoding``: the database's, by its name in Postgres. The same record if nothing has to change.
    """
    codec = _codec(encoding)

    def fit(value: Any) -> Any:
        if isinstance(value, str):
            return value.encode(codec, "backslashreplace").decode(codec)
        return {name: fit(part) for name, part in value.items()} if isinstance(value, dict) else value

    if isinstance(record, Event):
        event = Event(**{name: fit(value) for name, value in msgspec.structs.asdict(record).items()})
        return event if event == record else msgspec.structs.replace(event, notes=(*event.notes, NOTE))
    payload = {fit(name): fit(value) for name, value in record.payload.items()}
    return RejectedEvent(record.event_id, fit(record.reason), payload)


def cut_mark(encoding: str) -> str:
    """The last character of a text that was cut, in a database with that encoding."""
    return CUT_MARK if CUT_MARK.encode(_codec(encoding), "ignore") else "~"


@cache
def _codec(encoding: str) -> str:
    """Python's name; ASCII, which each encoding holds, where Python has none."""
    for name in (encoding, encoding.replace("WIN", "cp"), encoding.replace("KOI8", "KOI8_")):
        try:
            return codecs.lookup(name).name
        except LookupError:
            pass
    return "ascii"
