"""How far an app's own counters are off: what is compared, what is left out, what people read."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from pipeline.stats import drift
from pipeline.stats.drift import COUNTERS, counter_drift, rows, summary


def frame(**prompts: tuple[int | None, ...]) -> pl.DataFrame:
    """By prompt its uses, successes, failures, favourites."""
    values = [(prompt, *counts) for prompt, counts in prompts.items()]
    schema = {"prompt_id": pl.String, **dict.fromkeys(COUNTERS, pl.Int64)}
    return pl.DataFrame(values, schema=schema, orient="row")


HAD = frame(a=(10, 9, None, 1), b=(5, 5, None, 0), c=(None, 0, None, 0), gone=(7, 7, None, 0))
COUNTED = frame(a=(12, 9, 3, 1), b=(5, 5, 0, 0), c=(40, 38, 2, 0), deleted=(1, 1, 0, 0))


def test_what_an_app_kept_is_compared_prompt_by_prompt() -> None:
    found = counter_drift(HAD, COUNTED)
    assert found == {
        "prompt_count": 3,
        "differing_count": 2,
        "counters": {
            "usage_count": {"had": 15, "counted": 57, "differing_count": 2},
            "success_count": {"had": 14, "counted": 52, "differing_count": 1},
            # failure_count was kept in no prompt.
            "favorite_count": {"had": 1, "counted": 1, "differing_count": 0},
        },
        "prompts": [
            {
                "prompt_id": "c",
                "had": {"usage_count": None, "success_count": 0, "favorite_count": 0},
                "counted": {"usage_count": 40, "success_count": 38, "favorite_count": 0},
            },
            {
                "prompt_id": "a",
                "had": {"usage_count": 10, "success_count": 9, "favorite_count": 1},
                "counted": {"usage_count": 12, "success_count": 9, "favorite_count": 1},
            },
        ],
    }


@pytest.mark.parametrize(
    "had", [frame(), frame(a=(0, 0, 0, 0)), frame(a=(None, 0, None, 0), b=(0, None, 0, 0))]
)
def test_counters_that_nobody_kept_are_no_drift(had: pl.DataFrame) -> None:
    assert counter_drift(had, COUNTED) is None


def test_true_counters_are_said_to_be() -> None:
    found: Any = counter_drift(COUNTED, COUNTED)
    assert (found["prompt_count"], found["differing_count"], found["prompts"]) == (4, 0, [])


def test_only_the_largest_are_listed_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "LISTED", 1)
    found: Any = counter_drift(HAD, COUNTED)
    assert found["differing_count"] == 2
    assert [each["prompt_id"] for each in found["prompts"]] == ["c"]


def test_people_read_the_largest_and_the_sum() -> None:
    found = counter_drift(HAD, COUNTED)
    assert found
    assert rows(found, {"c": "portrait"}, largest=1) == (
        ["prompt", "uses", "successes", "favourites"],
        [
            ["portrait", "— → 40", "0 → 38", "0"],
            ["sum of 3 prompts", "15 → 57", "14 → 52", "1"],
        ],
    )
    assert summary(found).startswith("the counters of 2 of 3 prompts differed; in sum 15 uses were 57, ")
