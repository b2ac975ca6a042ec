"""Reads JSON of other programs. A number that no float can hold does not hide the other values.

Such a number is read as ``{"type": "number", "text": …}``, which no field of an event accepts, and which a
rejected event's payload keeps. NaN and infinities are no JSON, but Python writes them.
"""

from __future__ import annotations

import json
import math

import msgspec

from pipeline.tracking.event import cut

Text = bytes | bytearray | memoryview | msgspec.Raw

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What is raised for a text that is no JSON, or that is nested too deep."""

DIGITS_MAX = 300
"""A float holds no number with more of them, and Python takes long to read one."""

TEXT_LENGTH = 100
"""Characters that are kept of a number that can't be read."""


def decode(text: Text) -> object:
    """The value of a JSON text.

    :raises msgspec.DecodeError, ValueError, RecursionError: it is no JSON, or nested too deep.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError):
        # Slower, but it lets us read the numbers.
        return json.loads(bytes(text).decode(), parse_int=_int, parse_float=_float, parse_constant=_odd)


def _int(text: str) -> object:
    return int(text) if len(text) <= DIGITS_MAX else _odd(text)


def _float(text: str) -> object:
    number = float(text)
    return number if math.isfinite(number) else _odd(text)


def _odd(text: str) -> dict[str, str]:
    return {"type": "number", "text": text if len(text) <= TEXT_LENGTH else cut(text, TEXT_LENGTH)}
