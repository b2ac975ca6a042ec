"""Alerts as people read them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pipeline.alerts.messages import LISTED, digest, run_failure, sentence
from pipeline.alerts.states import News

AT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
ROW: dict[str, Any] = {
    "id": 1,
    "rule": "success_rate",
    "scope": "prompt",
    "prompt_id": None,
    "prompt_name": "Casual selfie",
    "scene": None,
    "state": "WARNING",
    "severity": "WARNING",
    "window_hours": 1,
    "recent_count": 41,
    "recent_value": 63.41,
    "past_count": 6650,
    "past_value": 90.2,
    "as_of": AT,
    "raised_at": AT,
}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "Success rate of prompt Casual selfie: 63.4 % of 41 uses in the last hour, 90.2 % before"),
        (
            {"rule": "generation_time", "scope": "scene", "window_hours": 6, "recent_value": 12_345.0},
            (
                "Median generation time of no scene given: "
                "12.35 s over 41 uses in the last 6 hours, 0.09 s before"
            ),
        ),
        (
            {"rule": "usage", "scope": "overall", "recent_count": 0, "past_value": 1234.5},
            "Uses of all prompts: 0 in the last hour, 1,234 in the same hours before",
        ),
        ({"rule": "usage", "scope": "scene", "scene": " "}, "Uses of scene ' ': 41 in the last hour, "),
        (
            {"rule": "freshness", "scope": "stats", "recent_value": 2700.0},
            "The stats are as of 2026-01-31 12:00 UTC, 45 min behind",
        ),
    ],
)
def test_a_sentence_says_what_is_wrong_with_its_figures(values: dict[str, Any], text: str) -> None:
    assert sentence({**ROW, **values}).startswith(text)


def test_a_digest_has_the_worst_first_and_all_in_its_list() -> None:
    worst = {**ROW, "id": 99, "prompt_id": "8a", "severity": "ALERT", "state": "ALERT"}
    told = [(News.RECOVERED, {**ROW, "id": 98})]
    told += [(News.RAISED, {**ROW, "id": number}) for number in range(LISTED)] + [(News.RAISED, worst)]
    message = digest(told, AT)
    assert message["title"] == f"prompt-stats: {LISTED + 1} raised, 1 recovered"
    lines = message["text"].splitlines()
    assert lines[0].startswith("ALERT raised: Success rate of prompt Casual selfie")
    assert lines[LISTED:] == [
        "and 2 more: prompt-stats alerts",
        "Next: run prompt-stats show 8a; to mute it for a day: prompt-stats alerts --silence 99",
    ]
    assert [alert["id"] for alert in message["alerts"]] == [99, *range(LISTED), 98]


@pytest.mark.parametrize(
    ("why", "values", "step"),
    [
        (News.RAISED, {"scope": "scene"}, "Next: run prompt-stats alerts; to mute it"),
        (News.RAISED, {"rule": "freshness", "scope": "stats"}, "Next: run prompt-stats status; to mute it"),
        (News.RECOVERED, {}, "Next: there is nothing to do; prompt-stats alerts --days 1"),
    ],
)
def test_a_message_ends_with_a_next_step(why: News, values: dict[str, Any], step: str) -> None:
    assert digest([(why, {**ROW, **values})], AT)["text"].splitlines()[-1].startswith(step)


def test_a_failed_run_is_told_without_colours_and_with_a_next_step() -> None:
    text = run_failure("job", "8f", "\x1b[1;31mdisk\x1b[0m full\x1b[2K\nat all\x07", None)["text"]
    assert text.splitlines() == [
        "The run 8f of job failed: disk full at all\\x07",
        "Next: run prompt-stats doctor; the run's log is in Dagster at /runs/8f",
    ]
