"""Days and ranges of days: what a range holds, how days become ranges, how ranges become chunks."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.days import ONE_DAY, DayRange, chunks, contiguous_ranges, last_open_day

DAYS = st.dates(dt.date(2026, 1, 1), dt.date(2026, 3, 1))
JANUARY = [dt.date(2026, 1, number) for number in range(1, 32)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-01-31T12:00:00+00:00", "2026-02-01"),
        ("2026-12-31T23:59:59+00:00", "2027-01-01"),
        # The clock's own zone does not matter, only the day in UTC does.
        ("2026-01-31T23:30:00-05:00", "2026-02-02"),
        ("2026-02-01T00:30:00+05:00", "2026-02-01"),
    ],
)
def test_events_count_up_to_tomorrow_in_utc(now: str, expected: str) -> None:
    assert last_open_day(dt.datetime.fromisoformat(now)) == dt.date.fromisoformat(expected)


def test_a_range_holds_both_its_ends() -> None:
    assert list(DayRange(JANUARY[2], JANUARY[4]).days()) == JANUARY[2:5]
    assert list(DayRange(JANUARY[2], JANUARY[2]).days()) == [JANUARY[2]]
    assert list(DayRange(JANUARY[2], JANUARY[1]).days()) == []


@given(st.lists(DAYS))
def test_ranges_hold_exactly_the_days(days: list[dt.date]) -> None:
    ranges = contiguous_ranges(days)

    assert [day for range_ in ranges for day in range_.days()] == sorted(set(days))


@given(st.lists(DAYS))
def test_ranges_are_as_few_as_can_be(days: list[dt.date]) -> None:
    ranges = contiguous_ranges(days)

    for before, after in pairwise(ranges):
        assert before.last + ONE_DAY < after.first


@given(st.lists(DAYS), st.integers(0, 9))
def test_bridged_gaps_are_no_longer_than_allowed(days: list[dt.date], bridged: int) -> None:
    ranges = contiguous_ranges(days, bridged)

    assert {day for range_ in contiguous_ranges(days) for day in range_.days()} <= {
        day for range_ in ranges for day in range_.days()
    }
    for before, after in pairwise(ranges):
        assert (after.first - before.last).days > bridged + 1
    for range_ in ranges:
        inside = sorted({day for day in days if range_.first <= day <= range_.last})
        assert all((after - before).days <= bridged + 1 for before, after in pairwise(inside))


@given(st.dictionaries(DAYS, st.integers(0, 100)), st.integers(1, 150))
def test_chunks_hold_every_day_once_and_no_more_than_the_limit(sizes: dict[dt.date, int], limit: int) -> None:
    cut = list(chunks(sizes, limit))

    assert [day for chunk in cut for day in chunk] == sorted(sizes)
    for chunk in cut:
        assert chunk
        assert len(chunk) == 1 or sum(sizes[day] for day in chunk) <= limit


def test_a_day_above_the_limit_is_a_chunk_of_its_own() -> None:
    first, second, third = JANUARY[:3]

    assert list(chunks({first: 1, second: 9, third: 1}, 5)) == [[first], [second], [third]]
