"""What a terminal is told of the numbers: as of when they are, and what is left out."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from rich.console import RenderableType

from pipeline.cli.render import age, prompt, top, unusable
from pipeline.cli.terminal import Terminal
from pipeline.days import NOTHING_KNOWN


def test_an_age_is_told_of_what_is_complete_alone() -> None:
    assert age({"as_of": None, "lag_seconds": None}).startswith("nothing has been published yet")
    assert age({"as_of": NOTHING_KNOWN, "lag_seconds": 1.8e9}).startswith("not complete yet")
    at = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    assert age({"as_of": at, "lag_seconds": 1234.5}) == "as of 2026-01-31 12:00 UTC, 1,234 s ago"


LONG = ("x" * 10_000, "ab " * 3_300, "\N{CJK UNIFIED IDEOGRAPH-6F22}" * 5_000)
NUMBERS = {
    "usage_count": 1_234_567,
    "success_rate": 99.9,
    "success_rate_lower": 88.8,
    "avg_generation_time_ms": 12_345.0,
    "p95_generation_time_ms": 67_890.0,
}
ID = "0198c2a6-0000-7000-8000-000000000001"


def printed(content: RenderableType, width: int = 80) -> list[str]:
    said = io.StringIO()
    Terminal(said, width=width).print(content)
    return said.getvalue().splitlines()


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("slug", [None, *LONG])
@pytest.mark.parametrize("width", [60, 70, 80])
def test_a_long_name_takes_no_number_its_place(name: str, slug: str | None, width: int) -> None:
    answer = {"prompts": [{"id": ID, "name": name, "slug": slug, **NUMBERS}], "as_of": None}
    lines = printed(top(answer), width)
    [row] = [line for line in lines if "1,234,567" in line]
    assert all(each in row for each in ("99.9 %", "88.8 %", "12.35 s", "67.89 s"))
    assert "…" in row
    # Narrower than an id, it goes on in the next line.
    assert (slug is None) == (ID in "".join(line.strip() for line in lines))
    scene = {"scene": name, "standing": "worst", **NUMBERS}
    others = ("usage_count_7d", "usage_count_30d", "success_count", "failure_count", "unique_users")
    shown = {"id": ID, "name": name, "slug": slug, **NUMBERS, **dict.fromkeys(others, 1)}
    shown |= {"p50_generation_time_ms": 1.0, "favorite_count": 0, "last_used_at": None, "as_of": None}
    lines = printed(prompt({**shown, "scenes": [scene], "days": []}))
    assert len(lines) < 25
    assert any(ID in line for line in lines)
    [row] = [line for line in lines if "99.9 %" in line and "12.35 s" in line]
    assert "1,234,567" in row
    assert "worst" in row


def test_events_with_a_time_that_is_none_are_named() -> None:
    assert unusable(None, []) == "unknown"
    assert unusable(0, []) == "0"
    assert unusable(1_234, ["E1", "[red]"]) == "1,234, for example in E1, [red]"
