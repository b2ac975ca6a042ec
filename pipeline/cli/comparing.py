"""``compare``."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from pipeline.answers import reading
from pipeline.answers.comparison import Asked
from pipeline.cli import render
from pipeline.cli.context import AsJson, console, open_installation, print_json
from pipeline.cli.days import Days, First, Last, TimeZone, day_of, zone_of


def compare(
    prompts: Annotated[list[str], typer.Argument(help="1 to 4 prompts, by slug, id or unique name.")],
    *,
    before: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Of one prompt: compare the days since this one with as many before it, 28 at most.",
        ),
    ] = None,
    first: First = None,
    last: Last = None,
    days: Days = None,
    timezone: TimeZone = None,
    as_json: AsJson = False,
) -> None:
    """Say whether one prompt is better than another, than in the period before, or than before a date."""
    asked = Asked(day_of(first), day_of(last), days, zone_of(timezone), day_of(before))
    answer = reading.compare(open_installation(), prompts, asked)
    print_json(answer) if as_json else console.print(render.comparison(answer))
