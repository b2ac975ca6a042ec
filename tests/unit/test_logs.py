"""A line of the JSON log: what happened, when, and the figures as fields of their own."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
from typing import Any

import pytest

from pipeline.logs import json_formatter


@pytest.fixture
def logged() -> Any:
    """A logger, and a function that gives the line it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_formatter())
    logger = logging.Logger("pipeline.somewhere")
    logger.addHandler(handler)
    return logger, lambda: json.loads(stream.getvalue())


def test_a_line_has_the_figures_as_fields(logged: Any) -> None:
    logger, line = logged
    logger.info("published %d events", 3, extra={"seconds": {"merge": 0.5}, "days": [dt.date(2026, 1, 2)]})

    assert dt.datetime.fromisoformat(line()["at"]).tzinfo is not None
    assert {name: value for name, value in line().items() if name != "at"} == {
        "level": "info",
        "logger": "pipeline.somewhere",
        "message": "published 3 events",
        "seconds": {"merge": 0.5},
        "days": ["2026-01-02"],
    }


def test_an_error_is_one_line_with_its_traceback(logged: Any) -> None:
    logger, line = logged
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("it failed")

    assert (line()["level"], line()["message"]) == ("error", "it failed")
    assert "ValueError: two\nlines" in line()["exception"]
