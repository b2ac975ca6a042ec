"""Error messages folded into kinds: what differs by chance is one kind, what differs in cause is not."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stats.errors import LONGEST_KIND, error_kind


def kind(message: str | None) -> str | None:
    found = pl.DataFrame({"message": [message]}, schema={"message": pl.String})
    folded = found.select(error_kind(pl.col("message"))).item()
    assert folded is None or isinstance(folded, str)
    return folded


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("timeout after 30 s", "timeout after <n> s"),
        ("score 0.97, limit 0.9", "score <n>, limit <n>"),
        ("job 3f2b8c1e-0000-4000-8000-1234567890ab failed", "job <id> failed"),
        ("job 3F2B8C1E-0000-4000-8000-1234567890AB failed", "job <id> failed"),
        ("trace 5f1d0a9c3b7e4f2a8d", "trace <id>"),
        ("at 0x7ffdeadbeef1", "at <id>"),
        ("GET https://example.org/a?b=1 said 502", "GET <url> said <n>"),
        ("  two\n\tlines  ", "two lines"),
        ("no CUDA device", "no CUDA device"),
        ("deadbeef is a word", "deadbeef is a word"),
        ("", ""),
    ],
)
def test_folds(message: str, expected: str) -> None:
    assert kind(message) == expected


def test_one_cause_is_one_kind() -> None:
    assert kind("timeout after 30 s") == kind("timeout after 31.5 s")
    assert kind("timeout after 30 s") != kind("refused after 30 s")


def test_no_message_is_no_kind() -> None:
    assert kind(None) is None


def test_a_long_message_is_cut() -> None:
    assert kind("x" * 5000) == "x" * LONGEST_KIND


@given(st.text())
def test_a_kind_is_short_and_holds_no_number(message: str) -> None:
    folded = kind(message)

    assert folded is not None
    assert len(folded) <= LONGEST_KIND
    assert not any(digit in folded for digit in "0123456789")
