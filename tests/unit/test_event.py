"""Reading an event: what is taken, what is named as wrong, and that a payload can be kept and replayed."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tracking.event import (
    EPOCH,
    Event,
    RejectedEvent,
    _read_carefully,
    _read_quickly,
    read_event,
    read_given,
    read_post,
)

PROMPT_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
USER_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000002")
BERLIN = dt.timezone(dt.timedelta(hours=1))

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.builds(pow, st.just(10), st.just(5000)),
    st.floats(),
    st.text(st.characters()),  # with NUL and halves of surrogate pairs
    st.binary(),
    st.uuids(),
    st.datetimes(),
    st.lists(st.integers()),
    st.builds(object),
)


def read(**values: object) -> Event:
    event = read_event({"prompt_id": PROMPT_ID, **values})
    assert isinstance(event, Event), event
    return event


def reason(**values: object) -> str:
    rejected = read_event({"prompt_id": PROMPT_ID, **values})
    assert isinstance(rejected, RejectedEvent), rejected
    return rejected.reason


def test_an_event_without_id_gets_one_that_sorts_by_time() -> None:
    first, second = read().event_id, read().event_id
    assert uuid.UUID(first).version == 7
    assert first < second


@pytest.mark.parametrize(
    ("given_id", "text"),
    [
        (USER_ID, str(USER_ID)),
        (uuid_utils.UUID(str(USER_ID)), str(USER_ID)),
        (USER_ID.bytes, str(USER_ID)),
        (USER_ID.hex.upper(), USER_ID.hex.upper()),
        (1152921504606846977, "1152921504606846977"),
        ("user|42", "user|42"),
    ],
)
def test_an_id_is_kept_as_it_is_spelled(given_id: object, text: str) -> None:
    event = read(event_id=given_id, user_id=given_id, prompt_id=given_id)
    assert (event.event_id, event.user_id, event.prompt_id or event.slug) == (text, text, text)


@pytest.mark.parametrize("unreadable", ["", "a\0b", "x" * 10_001, 7.5, 2**63, True, b"1", ("a",)])
def test_without_a_readable_id_or_prompt_there_is_no_event(unreadable: object) -> None:
    assert "event_id " in reason(event_id=unreadable)
    assert "prompt_id " in reason(prompt_id=unreadable)
    event = read(user_id=unreadable)
    assert event.user_id is None
    assert [note.partition(" ")[0] for note in event.notes] == ["user_id"]


def test_a_rejected_event_is_kept_once_under_each_spelling_of_its_id() -> None:
    keys = [
        RejectedEvent(event_id, "", {}).key
        for event_id in (str(USER_ID), USER_ID.hex, str(USER_ID).upper(), "7", "\ud800")
    ]
    assert keys[0] == USER_ID
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "slug", ["portrait-selfie-casual", "0198c2a6", "{0198c2a6-0000-7000-8000-000000000001}"]
)
def test_a_prompt_id_that_is_no_uuid_is_a_slug(slug: str) -> None:
    event = read(prompt_id=slug)
    assert (event.prompt_id, event.slug) == (None, slug)


def test_a_time_without_zone_is_utc_and_one_with_a_zone_is_kept() -> None:
    noon = dt.datetime(2025, 3, 1, 12)  # noqa: DTZ001  # the point of the test
    assert read(created_at=noon).created_at == dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
    assert read(created_at=noon.replace(tzinfo=BERLIN)).created_at == dt.datetime(
        2025, 3, 1, 11, tzinfo=dt.UTC
    )


def test_a_time_may_be_a_text_in_iso_8601() -> None:
    assert read(created_at="2025-03-01T13:00:00+01:00").created_at == dt.datetime(
        2025, 3, 1, 12, tzinfo=dt.UTC
    )
    assert read(created_at="2025-03-01").created_at == dt.datetime(2025, 3, 1, tzinfo=dt.UTC)


def test_an_event_without_a_time_is_as_old_as_its_id_so_that_repeating_it_does_not_move_it() -> None:
    age = dt.datetime(2025, 8, 19, 8, 8, 51, 712_000, tzinfo=dt.UTC)
    milliseconds = (age - EPOCH) // dt.timedelta(milliseconds=1)
    event_id = uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)
    assert event_id.version == 7
    assert read(event_id=event_id).created_at == read(event_id=str(event_id)).created_at == age


@pytest.mark.parametrize("event_id", [None, uuid.uuid4(), "ffffffff-ffff-7fff-bfff-ffffffffffff"])
def test_any_other_event_without_a_time_happened_now(event_id: object) -> None:
    before = dt.datetime.now(dt.UTC)
    assert before <= read(event_id=event_id).created_at <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize("bounds", [0, 86_400_000])
def test_a_generation_may_take_nothing_or_a_day(bounds: int) -> None:
    assert read(generation_time_ms=bounds).generation_time_ms == bounds


def test_everything_wrong_is_named_at_once() -> None:
    said = reason(prompt_id=7.5, event_id=True, success="yes", scene="studio")
    assert said == (
        "event_id is not an id: True; prompt_id is not an id: 7.5;"
        " success is not True, False or None: 'yes': left out"
    )


def test_a_value_whose_class_fails_is_named_as_any_other() -> None:
    class Unplaced(dt.datetime):
        def utcoffset(self) -> dt.timedelta:
            raise LookupError("no such place")

    event = read(created_at=Unplaced(2025, 3, 1, tzinfo=dt.UTC))
    assert event.notes == ("created_at can't be read: LookupError('no such place'): left out",)


def test_an_event_without_prompt_is_rejected() -> None:
    assert reason(prompt_id=None) == "prompt_id is missing"


FLAWS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "longest text": ({"error_message": "x" * 10_000}, {"error_message": "x" * 10_000}),
    "longer text": ({"error_message": "x" * 10_001}, {"error_message": "x" * 9_999 + "…"}),
    "NUL": ({"scene": "stu\0dio"}, {"scene": "stu\ufffddio"}),
    "half a surrogate pair": ({"outfit": "\ud83d!"}, {"outfit": "\ufffd!"}),
    "both": ({"scene": "\0" + "x" * 10_000}, {"scene": "\ufffd" + "x" * 9_998 + "…"}),
    "number as text": ({"environment": 1}, {"environment": None}),
    "whole number as float": ({"generation_time_ms": 5000.0}, {"generation_time_ms": 5000}),
    "fraction": ({"generation_time_ms": 5479.99}, {"generation_time_ms": 5479.99}),
    "decimal": ({"generation_time_ms": Decimal("12.5")}, {"generation_time_ms": 12.5}),
    "negative time": ({"generation_time_ms": -1}, {"generation_time_ms": None}),
    "more than a day": ({"generation_time_ms": 86_400_001}, {"generation_time_ms": None}),
    "larger than any float": ({"generation_time_ms": 10**400}, {"generation_time_ms": None}),
    "not a number": ({"generation_time_ms": float("nan")}, {"generation_time_ms": None}),
    "infinite": ({"generation_time_ms": float("inf")}, {"generation_time_ms": None}),
    "boolean as time": ({"generation_time_ms": True}, {"generation_time_ms": None}),
    "text as time": ({"generation_time_ms": "soon"}, {"generation_time_ms": None}),
    "text as character": ({"character_id": ""}, {"character_id": None}),
}
USABLE = {"longest text", "whole number as float", "fraction", "decimal"}


@pytest.mark.parametrize("success", [True, False])
@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flawed_detail_is_no_flawed_event(flaw: str, *, success: bool) -> None:
    """And a failure is as likely to be counted as a success."""
    given_values, expected = FLAWS[flaw]
    event = read(success=success, **given_values)
    assert event.success is success
    assert {name: getattr(event, name) for name in expected} == expected
    assert [note.partition(" ")[0] for note in event.notes] == [*expected] * (flaw not in USABLE)


def test_an_outcome_that_can_not_be_read_is_neither() -> None:
    for given_value in ("true", "false", 1, 0):
        event = read(success=given_value)
        assert event.success is None
        assert event.notes == (f"success is not True, False or None: {given_value!r}: left out",)


def test_what_is_given_under_another_name_is_noted() -> None:
    record = read_given({"event_id": "1", "prompt_id": "2", "sene": "beach"})
    assert isinstance(record, Event)
    assert record.notes == ("sene is not a field of an event",)


@pytest.mark.parametrize("name", ["prompt_id", "event_id"])
def test_what_is_given_twice_is_not_guessed(name: str) -> None:
    record = read_given({"event_id": "1", "prompt_id": "2", f"another {name}": "3"})
    assert isinstance(record, RejectedEvent)
    assert record.reason == f"{name} is given twice"


def test_a_payload_holds_what_was_given_and_what_was_made_up() -> None:
    rejected = read_event({"prompt_id": PROMPT_ID, "event_id": 7.5, "scene": "a\0b", "success": False})
    assert isinstance(rejected, RejectedEvent)
    created_at = str(rejected.payload.pop("created_at"))
    assert dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(created_at) < dt.timedelta(minutes=1)
    assert rejected.payload == {
        "event_id": rejected.event_id,
        "prompt_id": str(PROMPT_ID),
        "scene": {"type": "str", "text": r"a\x00b"},
        "success": False,
    }
    assert "event_id is not an id: 7.5" in rejected.reason
    assert uuid.UUID(rejected.event_id).version == 7


names = sorted({*Event.__struct_fields__} - {"slug", "notes"})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "event_id": st.uuids() | anything,
            "prompt_id": st.uuids() | st.uuids().map(str) | anything,
            "user_id": st.uuids() | st.uuids().map(str) | anything,
            "scene": st.text() | anything,
            "success": st.booleans() | anything,
            "generation_time_ms": st.integers(-1, 86_400_001) | anything,
            "error_message": st.integers(9_999, 10_001).map("é".__mul__) | anything,
            "created_at": st.datetimes() | st.datetimes(timezones=st.timezones()) | anything,
        },
    )
)
def test_what_the_quick_reader_takes_the_careful_one_reads_alike(values: dict[str, object]) -> None:
    quick = _read_quickly(values)
    careful = _read_carefully(values, {})
    if isinstance(careful, RejectedEvent) or careful.notes:
        assert quick is None
    elif quick is not None:
        made_up = {name: None for name in ("event_id", "created_at") if values.get(name) is None}
        assert msgspec.to_builtins(quick) | made_up == msgspec.to_builtins(careful) | made_up


def test_the_quick_reader_takes_what_is_usual() -> None:
    usual = {"prompt_id": PROMPT_ID, "user_id": str(USER_ID), "scene": "beach", "success": True}
    assert _read_quickly({**usual, "generation_time_ms": 5, "error_message": "größer"})
    assert _read_quickly(
        {**usual, "prompt_id": "portrait-selfie-casual", "created_at": dt.datetime.now(dt.UTC)}
    )


@given(st.dictionaries(st.sampled_from(names), anything))
def test_whatever_is_given_becomes_an_event_or_json_that_postgres_stores(values: dict[str, object]) -> None:
    record = read_event(values)
    rejected = record.rejected("") if isinstance(record, Event) else record
    text = json.dumps(rejected.payload, allow_nan=False, ensure_ascii=False) + rejected.reason
    text.encode("utf-8")
    assert "\0" not in text
    assert r"\u0000" not in json.dumps(rejected.payload)


@pytest.mark.parametrize(
    "post",
    [
        {"id": "1", "promptId": "2", "userId": "3", "characterId": "4", "jobId": "5", "scene": "studio"},
        {"id": "1", "prompt_id": "2", "user_id": "3", "character_id": "4", "job_id": "5", "scene": "studio"},
        SimpleNamespace(id="1", prompt_id="2", user_id="3", characterId="4", jobId="5", scene="studio"),
    ],
)
def test_a_post_is_a_mapping_or_an_object_in_either_case(post: object) -> None:
    assert read_post(post) == (
        {
            "post_id": "1",
            "prompt_id": "2",
            "user_id": "3",
            "character_id": "4",
            "job_id": "5",
            "scene": "studio",
            "environment": None,
            "outfit": None,
        },
        {},
    )
