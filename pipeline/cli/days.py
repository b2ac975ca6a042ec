"""The options by which a command is told which days to count."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from pipeline.answers.comparison import Asked
from pipeline.days import UTC

DAY = ["%Y-%m-%d"]

First = Annotated[dt.datetime | None, typer.Option("--from", formats=DAY, help="The first day.")]
Last = Annotated[
    dt.datetime | None,
    typer.Option(
        "--to", formats=DAY, help="The last day; it is counted. By default that of the last refresh."
    ),
]
Days = Annotated[int | None, typer.Option("--days", min=1, help="How many days, up to the last one.")]
TimeZone = Annotated[
    str | None,
    typer.Option("--timezone", help="Whose days: a name such as Europe/Berlin; by default UTC."),
]


def asked_for(
    first: dt.datetime | None, last: dt.datetime | None, days: int | None, timezone: str | None
) -> Asked | None:
    """The days that a command is asked for, if only by their time zone; None: it is asked for all time."""
    if all(each is None for each in (first, last, days, timezone)):
        return None
    return Asked(day_of(first), day_of(last), days, zone_of(timezone))


def zone_of(given: str | None) -> str:
    """The time zone that an option names."""
    return UTC if given is None else given


def day_of(given: dt.datetime | None) -> dt.date | None:
    """The day that an option names."""
    return given.date() if given else None
