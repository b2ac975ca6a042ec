"""Values as people read them, in the terminal and on the page."""

from __future__ import annotations

import datetime as dt

NONE = "—"


def count(value: int | None) -> str:
    """A number as 12,345."""
    return NONE if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """Percent as 93.5 %."""
    return NONE if value is None else f"{value:.1f} %"


def seconds(value_ms: float | None) -> str:
    """Milliseconds as 5.12 s."""
    return NONE if value_ms is None else f"{value_ms / 1000:,.2f} s"


def moment(value: dt.datetime | None) -> str:
    """A moment as 2026-01-31 12:00 UTC."""
    return NONE if value is None else f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def quoted_if_blank(text: str) -> str:
    """The text itself, or in quotes where one could not see it."""
    return text if text.strip() else repr(text)
