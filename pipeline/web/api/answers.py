"""What answers look like: camelCase, as the app has its fields; described by the tables' own comments."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from sqlalchemy import Table

from pipeline.database.tables import ROW_ID, told
from pipeline.names import APP_TABLES
from pipeline.tracking.event import camel_case

EXAMPLES: dict[str, object] = {
    "id": "6b1f8a52-3c0e-4c37-9d0e-0d5c1a7f9b11",
    "prompt_id": "6b1f8a52-3c0e-4c37-9d0e-0d5c1a7f9b11",
    "slug": "portrait-selfie-casual",
    "name": "Casual selfie",
    "category": "portrait",
    "scene": "cafe",
    "environment": "indoor",
    "outfit": "casual",
    "usage_count": 1200,
    "total_usage": 1200,
    "success_count": 1098,
    "failure_count": 102,
    "success_rate": 91.5,
    "avg_generation_time_ms": 5312.4,
    "last_used_at": "2026-01-31T12:00:00Z",
    "rule": "success_rate",
    "scope": "prompt",
    "state": "ALERT",
    "severity": "ALERT",
    "prompt_name": "Casual selfie",
    "window_hours": 1,
    "recent_count": 41,
    "recent_value": 63.4,
    "past_count": 11643,
    "past_value": 90.2,
    "text": "Success rate of prompt Casual selfie: 63.4 % of 41 uses in the last hour, 90.2 % before",
}


_ROW_ID = camel_case(ROW_ID)

NEEDED = ("id", "name")
"""What an app's ``prompts`` has to have in each row."""


STANDING = (
    Literal["best", "worst"] | None,
    "Whether its success rate is surely the best or the worst of those listed; null: neither is shown.",
)
"""What an answer that lists values says of each."""


class Answer(BaseModel):
    """An object of an answer."""

    model_config = ConfigDict(alias_generator=camel_case, validate_by_name=True)


class StatsAnswer(Answer):
    """The fields of every answer with stats."""

    as_of: dt.datetime | None = Field(
        description="All events that were committed before this moment are counted. Null before the first"
        " refresh."
    )
    lag_seconds: float | None = Field(description="How long ago asOf is.", examples=[212.5])
    notes: list[str] = Field(
        default=[],
        description="Values that are null although the database has one, and why.",
    )


def model_of(
    name: str, table: Table, *, without: tuple[str, ...] = (), **more: tuple[Any, str]
) -> type[Answer]:
    """A model with the columns of a table, described by their comments.

    ``more``: fields beside them, each with its type and what it means.
    """
    fields: dict[str, Any] = {}
    for column in told(table):
        if column.name in without:
            continue
        kind = column.type.python_type
        # Ids are of the app's type, and texts in JSON, whatever that is.
        kind = {dict: Any, list: Any, uuid.UUID: str}.get(kind, kind)
        # An app's own table may lack what ours has to have.
        is_optional = column.nullable or (table.name in APP_TABLES and column.name not in NEEDED)
        fields[column.name] = (
            kind | None if is_optional else kind,
            Field(description=column.comment, examples=_examples(column.name)),
        )
    for field, (kind, meaning) in more.items():
        fields[field] = (kind, Field(description=meaning, examples=_examples(field)))
    model: type[Answer] = create_model(name, __base__=Answer, __doc__=table.comment, **fields)
    return model


def _examples(name: str) -> list[object] | None:
    return [EXAMPLES[name]] if name in EXAMPLES else None


def in_camel_case(row: Mapping[str, object]) -> dict[str, object]:
    """A row with its names as the app spells them, without the key for replication."""
    spelt = dict(zip(_spelt(tuple(row)), row.values(), strict=True))
    spelt.pop(_ROW_ID, None)
    return spelt


@lru_cache(maxsize=200)
def _spelt(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(camel_case, names))
