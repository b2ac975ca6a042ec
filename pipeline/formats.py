"""Values as people read them, in the terminal and on the page."""

from __future__ import annotations

import datetime as dt

NONE = "—"


def count(value: int | None) -> str:
    """12,345"""
    return NONE if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """93.5 %"""
    return NONE if value is None else f"{value:.1f} %"


def milliseconds(value: float | None) -> str:
    """5,120 ms"""
    return NONE if value is None else f"{value:,.0f} ms"


def moment(value: dt.datetime | None) -> str:
    """2026-01-31 12:00:05 UTC"""
    return NONE if value is None else f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def quoted_if_blank(text: str) -> str:
    """The text itself, or in quotes where one could not see it."""
    return text if text.strip() else repr(text)
