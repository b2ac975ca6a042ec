"""JSON that somebody else wrote, read as far as it can be: a number or a nest that Python does not take is
told apart from the values beside it, and hides none of them.

Such a value is read as ``{"type": …, "text": …}``, its beginning as a text, which no field of an event
accepts and a rejected event's payload keeps.
"""

from __future__ import annotations

import re

import msgspec

Text = bytes | bytearray | memoryview | msgspec.Raw

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What is raised for a text that is no JSON."""

DEEPEST = 100
"""Arrays and objects in one another; Python's own limit depends on what calls."""

TOKENS_MAX = 500_000
"""Brackets and odd numbers: a text with more of them is left as it is, since to read them takes seconds."""

TEXT_BYTES = 100
"""What is kept of a value that can't be read."""

# What is usual, strings above all, is passed over on the way to a bracket or an odd number.
_ODD = re.compile(
    rb"""(?:
        [^"\[{\]}\dNI-]++
      | "(?:[^"\\]++|\\.)*+"?+
      | -?+\d[\d.]{0,300}+(?:[eE][+-]?+\d{1,2}+)?+(?![\w.])
    )*+
    (?: (?P<opening>[\[{]++)
      | (?P<closing>[\]}]++)
      | (?P<number>-?+(?:\d[\d.]*+(?:[eE][+-]?+\d++)?+|NaN|Infinity))
      | .
      | \Z
    )""",
    re.DOTALL | re.VERBOSE,
)


def decode(text: Text) -> object:
    """The value of a JSON text.

    :raises msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is no JSON.
    """
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        return msgspec.json.decode(mended(text))


def mended(text: Text) -> bytes:
    """The text with values in the place of those that can't be read.

    Numbers: those beyond a float, those of more than 300 digits, and NaN and infinities, which are no JSON,
    but which Python writes.
    """
    given = bytes(text)
    kept: list[bytes] = []
    depth = done = 0
    for token, found in enumerate(_ODD.finditer(given)):
        if token > min(TOKENS_MAX, 100 + len(given) // 5):
            return given
        start, end = found.span(found.lastgroup or 0)
        match found.lastgroup:
            case "opening":
                depth += end - start
                if depth - (end - start) <= DEEPEST < depth:
                    # Of the brackets of this run, those that are not too deep stay.
                    nest = end - (depth - DEEPEST)
                    kept.append(given[done:nest])
                    done = nest
            case "closing":
                depth -= end - start
                if depth <= DEEPEST < depth + (end - start):
                    after = end - (DEEPEST - depth)
                    kept.append(_kept("nest", given[done:after]))
                    done = after
            case "number" if depth <= DEEPEST:
                kept += [given[done:start], _kept("number", given[start:end])]
                done = end
    return b"".join([*kept, given[done:]])


def _kept(kind: str, value: bytes) -> bytes:
    text = value[:TEXT_BYTES].decode("utf-8", "replace")
    return msgspec.json.encode({"type": kind, "text": text if len(value) <= TEXT_BYTES else f"{text}…"})
