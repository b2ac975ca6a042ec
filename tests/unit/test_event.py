"""Reading an event: what is taken, what is named as wrong, and that a payload can be kept and replayed."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from types import SimpleNamespace

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tracking.event import Event, RejectedEvent, read_event, read_post

PROMPT_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
USER_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000002")
BERLIN = dt.timezone(dt.timedelta(hours=1))

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**5000),
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
    assert type(first) is uuid.UUID
    assert first.version == 7
    assert first < second


@pytest.mark.parametrize(
    "given_id", [USER_ID, str(USER_ID), USER_ID.hex.upper(), uuid_utils.UUID(str(USER_ID))]
)
def test_an_id_is_a_uuid_or_its_text(given_id: object) -> None:
    event = read(event_id=given_id, user_id=given_id, prompt_id=given_id)
    assert (event.event_id, event.user_id, event.prompt_id) == (USER_ID, USER_ID, USER_ID)


@pytest.mark.parametrize(
    "slug", ["portrait-selfie-casual", "0198c2a6", "{0198c2a6-0000-7000-8000-000000000001}"]
)
def test_a_prompt_id_that_is_no_uuid_is_a_slug(slug: str) -> None:
    assert read(prompt_id=slug).prompt_id == slug


def test_a_time_without_zone_is_utc_and_one_with_a_zone_is_kept() -> None:
    noon = dt.datetime(2025, 3, 1, 12)  # noqa: DTZ001  # the point of the test
    assert read(created_at=noon).created_at == dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
    assert read(created_at=noon.replace(tzinfo=BERLIN)).created_at == dt.datetime(
        2025, 3, 1, 11, tzinfo=dt.UTC
    )


def test_an_event_written_later_is_dated_when_it_was_accepted() -> None:
    event = read()
    assert event.created_at is None
    assert event.dated().created_at == event.accepted_at
    noon = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
    assert read(created_at=noon).dated().created_at == noon


@pytest.mark.parametrize("bounds", [0, 86_400_000])
def test_a_generation_may_take_nothing_or_a_day(bounds: int) -> None:
    assert read(generation_time_ms=bounds).generation_time_ms == bounds


def test_everything_wrong_is_named_at_once() -> None:
    said = reason(user_id="me", success="yes", scene="studio")
    assert said == "user_id is not a UUID: 'me'; success is not True, False or None: 'yes'"


def test_a_value_whose_class_fails_is_named_as_any_other() -> None:
    class Unplaced(dt.datetime):
        def utcoffset(self) -> dt.timedelta:
            raise LookupError("no such place")

    said = reason(created_at=Unplaced(2025, 3, 1, tzinfo=dt.UTC))
    assert said == "created_at can't be read: LookupError('no such place')"


def test_an_event_without_prompt_is_rejected() -> None:
    assert reason(prompt_id=None) == "prompt_id is missing"


def test_the_longest_text_is_taken_and_a_longer_one_is_not() -> None:
    assert read(error_message="x" * 10_000).error_message == "x" * 10_000
    assert reason(error_message="x" * 10_001) == "error_message has 10,001 characters, more than 10,000"


def test_a_payload_holds_what_was_given_and_what_was_made_up() -> None:
    rejected = read_event({"prompt_id": PROMPT_ID, "event_id": "first", "scene": "a\0b", "success": False})
    assert isinstance(rejected, RejectedEvent)
    created_at = str(rejected.payload.pop("created_at"))
    assert dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(created_at) < dt.timedelta(minutes=1)
    assert rejected.payload == {
        "event_id": str(rejected.event_id),
        "prompt_id": str(PROMPT_ID),
        "scene": r"a\x00b",
        "success": False,
    }
    assert "event_id is not a UUID: 'first'" in rejected.reason


@given(st.dictionaries(st.sampled_from([*Event.__dataclass_fields__]), anything))
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
        [],
    )
