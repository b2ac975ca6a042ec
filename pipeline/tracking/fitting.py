"""Makes an event fit the app's table. A detail that does not fit is corrected or left out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.tracking.event import Event, Record, cut
from pipeline.tracking.usage_table import EVENT_KEY, FIELDS, WHOLE, ColumnType, UsageTable

# As Postgres reads them: dashes after any four digits, braces around.
_DIGITS = "[0-9a-f]{4}(-?[0-9a-f]{4}){7}"
_UUID = re.compile(rf"{_DIGITS}|\{{{_DIGITS}\}}", re.ASCII | re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}", re.ASCII)

IDS = frozenset(name for name in FIELDS if name in {"id", EVENT_KEY} or name.endswith("_id"))
TEXTS = frozenset({"scene", "environment", "outfit", "error_message"})


@dataclass(frozen=True)
class Fitted:
    """``values``: by column, without those that get their default. ``slug``: what the prompt has to be looked
    up by, if it has to be. ``notes``: what was mended or left out, and why.
    """

    values: dict[str, object]
    slug: str | None
    notes: tuple[str, ...]

    def of_prompt(self, prompt_id: object) -> Fitted:
        """The same, with the id of the prompt."""
        return replace(self, values={**self.values, "prompt_id": prompt_id}, slug=None)


def fitted(event: Event, table: UsageTable) -> Fitted:
    """The event as the table takes it.

    :raises ValueError: its id is of another kind than those of the table.
    """
    values: dict[str, object] = {name: getattr(event, FIELDS[name]) for name in table.columns}
    slug, notes = event.slug, list(event.notes)
    if not table.has_uuid_prompts:
        # A text that looks like a UUID is looked up as it is spelled.
        slug, values["prompt_id"] = event.slug or event.prompt_id, None
    for name, type_ in table.columns.items():
        value = values[name]
        if value is None:
            continue
        said = ""
        if name in IDS:
            said = _unlike(str(value), type_)
            if said and FIELDS[name] == "event_id":
                raise ValueError(f"event_id {said}")
            if said:
                values[name], said = None, f"{said}: left out"
        elif name in TEXTS and type_.labels and value not in type_.labels:
            values[name], said = (
                None,
                f"is none of the values of {type_.name}: {str(value)[:200]!r}: left out",
            )
        elif name in TEXTS and type_.max_length is not None and len(str(value)) > type_.max_length:
            values[name] = cut(str(value), type_.max_length, table.cut_mark)
            said = f"has {len(str(value)):,} characters, and its column takes {type_.max_length:,}: cut"
        elif name == "generation_time_ms" and event.generation_time_ms is not None:
            values[name], said = _number(event.generation_time_ms, type_)
        if said:
            notes.append(f"{FIELDS[name]} {said}")
    for name, type_ in table.columns.items():
        if type_.is_defaulted and values[name] is None and name != "prompt_id":
            del values[name]
    return Fitted(values, slug, tuple(notes))


def has_new_labels(records: Iterable[Record], table: UsageTable) -> bool:
    """Whether a text is none of an enum's values, which it may have got since the table was looked at."""
    labels = {FIELDS[name]: type_.labels for name, type_ in table.columns.items() if type_.labels}
    return any(
        value is not None and value not in known
        for record in (records if labels else ())
        if isinstance(record, Event)
        for value, known in ((getattr(record, name), known) for name, known in labels.items())
    )


def _unlike(value: str, type_: ColumnType) -> str:
    """What an id's column has against it, if anything."""
    if type_.name == "uuid":
        return "" if _UUID.fullmatch(value) else f"is not a UUID: {value[:200]!r}"
    if type_.name in WHOLE:
        is_one = _WHOLE_NUMBER.fullmatch(value) and -WHOLE[type_.name] <= int(value) < WHOLE[type_.name]
        return "" if is_one else f"is not a number of the type {type_.name}: {value[:200]!r}"
    if type_.max_length is not None and len(value) > type_.max_length:
        return f"has {len(value):,} characters, and its column takes {type_.max_length:,}"
    return ""


def _number(value: float, type_: ColumnType) -> tuple[float | None, str]:
    """A time as its column takes it, and what was done to it."""
    if type_.below is not None and value >= type_.below:
        return None, f"is {value}, and its column takes what is below {type_.below}: left out"
    if type_.name not in WHOLE:
        return value, ""
    rounded = round(value)
    if rounded >= WHOLE[type_.name]:
        return None, f"is {value}, and its column is {type_.name}: left out"
    return rounded, "" if rounded == value else f"is {value}, and its column is {type_.name}: rounded"
