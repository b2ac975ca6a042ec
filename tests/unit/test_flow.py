"""How far a read is, in words, and that it is no faster than asked."""

from __future__ import annotations

import io
import logging
import time

import pyarrow as pa
import pytest

from pipeline.cli import context
from pipeline.cli.terminal import Terminal
from pipeline.lake.flow import Progress, batch_bytes, now_and_then, paced
from pipeline.lake.usage_events import rows_at_once

HALF = Progress(2_500_000, 5_000_000, 10)
HALF_SAID = "2,500,000 of 5,000,000 events, 250,000 per second, 0:00:10 left"


def test_progress_says_what_is_left() -> None:
    assert str(HALF) == HALF_SAID
    assert str(Progress(1, 10**8, 1)) == "1 of 100,000,000 events, 1 per second, 1157 days, 9:46:39 left"
    assert str(Progress(0, 10, 5)) == "0 of 10 events"


def test_a_short_read_is_not_spoken_of() -> None:
    said: list[float] = []
    hear = now_and_then(lambda progress: said.append(progress.seconds), every_seconds=10)
    for seconds in (1, 9, 11, 12, 20, 21.5, 30):
        hear(Progress(1, 2, seconds))
    assert said == [11, 21.5]


def test_no_more_rows_a_second_than_asked() -> None:
    batches = [pa.record_batch({"row": range(20)})] * 3
    start = time.monotonic()
    assert sum(batch.num_rows for batch in paced(batches, 200)) == 60
    assert 0.3 <= time.monotonic() - start < 3


def test_a_slow_reader_does_not_wait_twice() -> None:
    batches = [pa.record_batch({"row": range(20)})] * 3
    start = time.monotonic()
    for _ in paced(batches, 100):
        time.sleep(0.2)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("total", "rate", "rows"),
    [
        (1_000, None, 500_000),
        (20_000_000, None, 1_000_000),
        (100_000_000, None, 2_000_000),
        (100_000_000, 50_000, 1_000_000),
        (1_000, 100, 2_000),
    ],
)
def test_a_statement_is_neither_long_nor_one_of_many(total: int, rate: int | None, rows: int) -> None:
    assert rows_at_once(total, rate) == rows


def test_batches_are_a_part_of_a_second() -> None:
    assert batch_bytes(50_000) == 5_000_000
    assert batch_bytes(10**9) == 16 * 2**20


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_refresh_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> None:
    # Where the log is written, that says it.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    screen = io.StringIO()
    monkeypatch.setattr(context, "messages", Terminal(screen, force_terminal=is_terminal, width=150))
    with context.refreshing("refreshing all") as hear:
        hear(HALF)
        hear(Progress(5_000_000, 5_000_000, 19))
        time.sleep(0.2)
        logging.getLogger("pipeline.lake").info("rolling up")
    if is_terminal:
        assert "5,000,000 of 5,000,000 events" in screen.getvalue()
        assert "rolling up" in screen.getvalue()
    else:
        assert screen.getvalue().splitlines() == [f"refreshing all: {HALF_SAID}"]
