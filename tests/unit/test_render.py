"""What a terminal is told of as of when the numbers are."""

from __future__ import annotations

import datetime as dt

from pipeline.cli.render import age
from pipeline.days import NOTHING_KNOWN


def test_an_age_is_told_of_what_is_complete_alone() -> None:
    assert age({"as_of": None, "lag_seconds": None}).startswith("nothing published yet")
    assert age({"as_of": NOTHING_KNOWN, "lag_seconds": 1.8e9}).startswith("not complete yet")
    at = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    assert age({"as_of": at, "lag_seconds": 1234.5}) == "as of 2026-01-31 12:00 UTC, 1,234 s ago"
