"""An event fits the table that it meets: a detail that can't go there is mended or left out."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.tracking.event import Event, read_event
from pipeline.tracking.fitting import Fitted, fitted
from pipeline.tracking.usage_table import FIELDS, ColumnType, UsageTable

ID = "0198c2a6-0000-7000-8000-000000000001"
UUID, TEXT, WHOLE = ColumnType("uuid"), ColumnType("text"), ColumnType("integer")
OURS = {
    **dict.fromkeys(FIELDS, TEXT),
    **dict.fromkeys(("id", "prompt_id", "user_id", "character_id", "post_id", "job_id"), UUID),
    "generation_time_ms": WHOLE,
}


def fit(columns: dict[str, ColumnType], **values: Any) -> Fitted:
    event = read_event({"event_id": ID, "prompt_id": ID, **values})
    assert isinstance(event, Event)
    return fitted(event, UsageTable({**OURS, **columns}, "id", frozenset(), is_table=True))


@pytest.mark.parametrize(
    ("name", "given", "column", "expected"),
    [
        ("user_id", ID.upper(), UUID, ID.upper()),
        ("user_id", f"{{{ID}}}", UUID, f"{{{ID}}}"),
        ("user_id", ID.replace("-", ""), UUID, ID.replace("-", "")),
        ("user_id", f"{{{ID}", UUID, None),
        ("user_id", ID[:-1], UUID, None),
        ("user_id", ID.upper(), TEXT, ID.upper()),
        ("user_id", "a" * 9, ColumnType("character varying", 8), None),
        ("user_id", 2**53 + 1, ColumnType("bigint"), str(2**53 + 1)),
        ("user_id", 2**31, WHOLE, None),
        ("user_id", "7.0", WHOLE, None),
        ("user_id", "\N{ARABIC-INDIC DIGIT SEVEN}", WHOLE, None),
        ("scene", "beach house", ColumnType("character varying", 11), "beach house"),
        ("scene", "beach house", ColumnType("character varying", 6), "beach…"),
        ("scene", "beach", ColumnType("a_scene", labels=("beach", "studio")), "beach"),
        ("scene", "cafe", ColumnType("a_scene", labels=("beach", "studio")), None),
        ("generation_time_ms", 5479.99, WHOLE, 5480),
        ("generation_time_ms", 5479.99, ColumnType("numeric"), 5479.99),
        ("generation_time_ms", 9999.99, ColumnType("numeric", below=9999.995), 9999.99),
        ("generation_time_ms", 12_345.6, ColumnType("numeric", below=9999.995), None),
        ("generation_time_ms", 5000.0, WHOLE, 5000),
        ("generation_time_ms", 32_768, ColumnType("smallint"), None),
    ],
)
def test_a_detail_fits_its_column_or_is_noted(
    name: str, given: object, column: ColumnType, expected: object
) -> None:
    event = fit({name: column}, **{name: given})
    assert event.values[name] == expected
    same = (given, str(given), 5000 if given == 5000.0 else given)
    assert [note.partition(" ")[0] for note in event.notes] == ([] if expected in same else [name])


@pytest.mark.parametrize(("given", "column"), [("first", UUID), ("first", WHOLE), (2**40, WHOLE)])
def test_an_event_whose_id_has_no_place_is_none(given: object, column: ColumnType) -> None:
    with pytest.raises(ValueError, match="event_id is not a"):
        fit({"id": column}, event_id=given)


@pytest.mark.parametrize(
    ("given", "column", "slug"),
    [(ID, UUID, None), (ID.upper(), TEXT, ID.upper()), ("portrait", UUID, "portrait"), (7, WHOLE, "7")],
)
def test_a_prompt_is_looked_up_unless_it_is_an_id_for_certain(
    given: object, column: ColumnType, slug: str | None
) -> None:
    event = fit({"prompt_id": column}, prompt_id=given)
    assert (event.slug, event.values["prompt_id"]) == (slug, None if slug else given)


def test_what_may_not_be_null_gets_its_default() -> None:
    column = ColumnType("text", is_defaulted=True)
    assert "scene" not in fit({"scene": column}).values
    assert fit({"scene": column}, scene="").values["scene"] == ""
