"""What is counted by value, against a plain count, in groups large enough for each percentile."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import defaultdict
from typing import Any

import pyarrow as pa

from pipeline.engines import duckdb_engine
from pipeline.lake.usage_events import SCHEMA
from pipeline.stats.frames import prompt_value_stats

TODAY = dt.date(2026, 5, 1)
DIMENSIONS = ("scene", "environment", "outfit")
PERIODS = {
    "1d": (1, 1),
    "7d": (7, 1),
    "30d": (30, 1),
    "previous_1d": (2, 2),
    "previous_7d": (14, 8),
    "previous_30d": (60, 31),
}
HOUR = dt.timedelta(hours=1)
GAMMA = 1.02 / 0.98


def made_up(count: int) -> list[dict[str, Any]]:
    """Events of few values, some of them NULL, with times of all magnitudes."""
    draw = random.Random(18)  # noqa: S311  # no secret
    return [
        {
            "prompt_id": draw.choice(["a", "b", None]),
            "user_id": draw.choice([None, *(f"user {number}" for number in range(40))]),
            "scene": draw.choice(["beach", "", None]),
            "environment": draw.choice(["night", None]),
            "outfit": draw.choice(["coat", "dress", "suit"]),
            "generation_time_ms": draw.choice(
                [None, 0, 1, -5, *(int(math.exp(draw.gauss(8, 2))) for _ in range(9))]
            ),
            "day": TODAY - dt.timedelta(draw.randrange(70)),
        }
        for _ in range(count)
    ]


def in_sql(events: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of ``prompt_value_stats``, by prompt, dimension and value."""
    counts = duckdb_engine.run(
        "prompt_value_counts", {"today": TODAY}, usage_events=pa.Table.from_pylist(events, SCHEMA)
    )
    rows = prompt_value_stats(counts).to_dicts()
    assert len(rows) == counts.height
    return {(row.pop("prompt_id"), row.pop("dimension"), row.pop("value")): row for row in rows}


def plainly(events: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The same, counted one by one."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        for dimension in DIMENSIONS:
            if event["prompt_id"] is not None:
                groups[event["prompt_id"], dimension, event[dimension]].append(event)
    return {key: _stats(group) for key, group in groups.items()}


def _stats(group: list[dict[str, Any]]) -> dict[str, Any]:
    times = sorted(event["generation_time_ms"] for event in group if event["generation_time_ms"] is not None)
    ago = [(TODAY - event["day"]).days for event in group]
    return {
        "usage_count": len(group),
        "timed_count": len(times),
        **{f"p{percent}_generation_time_ms": _percentile(times, percent) for percent in (50, 90, 95, 99)},
        "unique_users": len({event["user_id"] for event in group} - {None}),
        **{
            f"usage_count_{name}": sum(last <= days <= first for days in ago)
            for name, (first, last) in PERIODS.items()
        },
    }


def _percentile(times: list[int], percent: int) -> float | None:
    if not times:
        return None
    exact = times[-(-percent * len(times) // 100) - 1]
    bucket = math.ceil(math.log(exact) / math.log(GAMMA)) if exact > 0 else None
    estimate = 0.0 if bucket is None else 2 * GAMMA**bucket / (GAMMA + 1)
    return min(max(estimate, times[0]), times[-1])


def test_values_equal_a_plain_count() -> None:
    events = made_up(3_000)
    found, expected = in_sql(events), plainly(events)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        percentiles = {name for name in row if name.startswith("p")}
        assert {name: found[key][name] for name in row.keys() - percentiles} == {
            name: row[name] for name in row.keys() - percentiles
        }, key
        for name in percentiles:
            assert math.isclose(found[key][name], row[name], rel_tol=1e-12), (key, name)


def test_without_times_or_users_there_are_none() -> None:
    event = {"prompt_id": "a", "scene": "beach", "day": TODAY}
    row = in_sql([event])["a", "scene", "beach"]
    assert (row["usage_count"], row["timed_count"], row["unique_users"]) == (1, 0, 0)
    assert [row[f"p{percent}_generation_time_ms"] for percent in (50, 90, 95, 99)] == [None] * 4


def test_no_events_give_no_rows() -> None:
    assert in_sql([]) == {}


def test_kinds_of_errors_equal_a_plain_count() -> None:
    at = dt.datetime(2026, 4, 30, tzinfo=dt.UTC)
    events = [
        event
        | {"error_message": f"HTTP {number % 7}" if number % 3 else None, "created_at": at + number * HOUR}
        for number, event in enumerate(made_up(300))
    ]
    kinds = {f"HTTP {code}": "odd" if code % 2 else "even" for code in range(7)}
    expected: dict[tuple[Any, ...], list[dt.datetime]] = defaultdict(list)
    for event in events:
        for dimension in DIMENSIONS:
            if kind := kinds.get(event["error_message"]):
                expected[event["prompt_id"], dimension, event[dimension], kind].append(event["created_at"])
    found = duckdb_engine.run(
        "prompt_value_errors",
        usage_events=pa.Table.from_pylist(events, SCHEMA),
        error_kinds=pa.table({"error_message": list(kinds), "error_kind": list(kinds.values())}),
    )
    assert found.height == len(expected)
    for *key, count, last_seen_at in found.iter_rows():
        times = expected[tuple(key)]
        assert (count, last_seen_at) == (len(times), max(times)), key
