"""The options by which a command is told which days to count."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from pipeline.answers.comparison import Asked

DAY = ["%Y-%m-%d"]

First = Annotated[dt.datetime | None, typer.Option("--from", formats=DAY, help="The first day.")]
Last = Annotated[
    dt.datetime | None,
    typer.Option(
        "--to", formats=DAY, help="The last day; it is counted. By default that of the last refresh."
    ),
]
Days = Annotated[int | None, typer.Option("--days", min=1, help="How many days, up to the last one.")]
TimeZone = Annotated[str, typer.Option("--timezone", help="Whose days: a name such as Europe/Berlin.")]


def asked_for(
    first: dt.datetime | None, last: dt.datetime | None, days: int | None, timezone: str
) -> Asked | None:
    """The days that a command is asked for; None: it is asked for all time."""
    given = Asked(day_of(first), day_of(last), days, timezone)
    return given if given != Asked() else None


def day_of(given: dt.datetime | None) -> dt.date | None:
    """The day that an option names."""
    return given.date() if given else None
