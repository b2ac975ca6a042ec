"""The person who is erased: the id in the app's table, and its possible spellings elsewhere.

The type of ``prompt_usage.user_id`` decides. In a ``uuid`` column all spellings are the same person. In a
text column each spelling is another person, so only the given one is erased. Other spellings of the same UUID
are still searched for, since they may belong to the same person.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from itertools import product

from sqlalchemy import ColumnElement, Connection, Text, cast, exists, func, select

from pipeline.adoption.catalog import read_catalog
from pipeline.adoption.ids import group_of
from pipeline.database import tables
from pipeline.database.prompt_keys import askable
from pipeline.errors import InputError
from pipeline.names import TableNames

_BIGINT = range(-(2**63), 2**63)
_DISTINCTIVE = re.compile(r"(?=.*[0-9])(?=.*[^0-9]).{8}", re.DOTALL)
"""A text that is no word and no number: at least eight characters, digits and others among them."""


@dataclass(frozen=True)
class Person:
    """``key``: the id as text, as Postgres prints it. ``kind``: ``uuid``, ``bigint`` or ``text``.

    ``is_distinctive``: whether a text that holds the id means the person; a number, a word such as "top", or
    what a prompt has for its id too, may stand for something else. ``mention``: a regular expression of the
    id in any text, or, where that says nothing, of the id as a value that is named as a user's;
    ``in_event``: of an event of the person's, as JSON. Both mean the same to Postgres, RE2 and Python.
    """

    key: str
    kind: str
    is_distinctive: bool
    mention: str
    in_event: str

    @property
    def spellings(self) -> list[str]:
        """The usual spellings of the same person's id."""
        if self.kind != "uuid":
            return [self.key]
        plain = (self.key, self.key.replace("-", ""))
        frames = ("{}", "{{{}}}", "urn:uuid:{}")
        spelled = [frame.format(digits) for frame, digits in product(frames, plain)]
        return [*spelled, *(each.upper() for each in spelled)]

    def is_in(self, column: ColumnElement[object]) -> ColumnElement[bool]:
        """Whether a column of ids, whatever its type, has the person's."""
        text = cast(column, Text)
        if self.kind != "uuid":
            return text == self.key
        digits = self.key.replace("-", "")
        return func.translate(func.lower(text), "{}-", "").in_([digits, f"urn:uuid:{digits}"])


def read_person(connection: Connection, names: TableNames, given: str) -> Person:
    """Who is meant by an id.

    :raises InputError: ``prompt_usage.user_id`` can't hold such an id.
    """
    columns = read_catalog(connection, names).tables["prompt_usage"].columns
    found = columns.get(names.column("prompt_usage", "user_id"))
    kind = group_of(found.type) if found else "uuid"
    digits = _uuid_digits(given)
    # Dashes may stand anywhere, or nowhere; braces and urn:uuid: stand around.
    any_spelling = "(?i)" + "-?".join(digits) if digits else None
    if kind == "uuid":
        if digits is None or any_spelling is None:
            raise _no_id(given, "a UUID")
        key = str(uuid.UUID(digits))
        if _is_prompt(connection, key):
            framed = rf'(?i)"user_?id"\s*:\s*"(urn:uuid:)?\{{?{"-?".join(digits)}\}}?"\s*[,}}]'
            return Person(key, kind, is_distinctive=False, mention=framed, in_event=framed)
        return Person(key, kind, is_distinctive=True, mention=any_spelling, in_event=any_spelling)
    if kind == "bigint":
        if not re.fullmatch(r"-?[0-9]{1,19}", given) or int(given) not in _BIGINT:
            raise _no_id(given, "a whole number")
        return _in_events_only(str(int(given)), kind)
    if not given or not askable([given]):
        raise _no_id(given, "an id")
    if not _DISTINCTIVE.search(given) or _is_prompt(connection, given):
        return _in_events_only(given, "text")
    word = f"(^|[^0-9A-Za-z_-]){re.escape(given)}([^0-9A-Za-z_-]|$)"
    return Person(given, "text", is_distinctive=True, mention=any_spelling or word, in_event=_as_json(given))


def _is_prompt(connection: Connection, key: str) -> bool:
    """Whether a prompt has the id too."""
    return bool(connection.scalar(select(exists().where(cast(tables.prompts.c.id, Text) == key))))


def _in_events_only(key: str, kind: str) -> Person:
    of_user = _as_json(key)
    return Person(key, kind, is_distinctive=False, mention=of_user, in_event=of_user)


def _uuid_digits(given: str) -> str | None:
    try:
        return uuid.UUID(given.strip()).hex
    except ValueError:
        return None


def _as_json(key: str) -> str:
    written = re.escape(json.dumps(key, ensure_ascii=False)[1:-1])
    quote = '"?' if key.lstrip("-").isdecimal() else '"'
    return rf'"user_?[iI]d"\s*:\s*{quote}{written}{quote}\s*[,}}]'


def _no_id(given: str, wanted: str) -> InputError:
    return InputError(
        f"Erasing the user {given!r}",
        f"this is not {wanted}, but prompt_usage.user_id holds only such values",
        "Give the id in the form of that column",
    )
