"""``status``, ``top``, ``show``, ``drift``, ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.answers import reading
from pipeline.cli import render
from pipeline.cli.context import AsJson, console, open_current_database, open_installation, print_json
from pipeline.cli.days import Days, First, Last, TimeZone, asked_for
from pipeline.cli.terminal import literal
from pipeline.settings import settings


def status(*, as_json: AsJson = False) -> None:
    """Show how fresh and how complete the stats are."""
    answer = reading.status(open_installation())
    print_json(answer) if as_json else console.print(render.status(answer))


def top(
    *,
    limit: Annotated[int, typer.Option(help="How many prompts to show, 1 to 1,000.")] = 10,
    first: First = None,
    last: Last = None,
    days: Days = None,
    timezone: TimeZone = None,
    as_json: AsJson = False,
) -> None:
    """Show the most used prompts of all time, or of a range of days."""
    asked = asked_for(first, last, days, timezone)
    answer = reading.top_prompts(open_installation(), limit, asked)
    print_json(answer) if as_json else console.print(render.top(answer))


def show(
    prompt: Annotated[str, typer.Argument(help="A prompt's slug, id or unique name.")],
    *,
    first: First = None,
    last: Last = None,
    days: Days = None,
    timezone: TimeZone = None,
    as_json: AsJson = False,
) -> None:
    """Show a prompt's counters, rate, times, scenes and days, of all time or of a range of days."""
    asked = asked_for(first, last, days, timezone)
    answer = reading.prompt(open_installation(), prompt, asked)
    print_json(answer) if as_json else console.print(render.prompt(answer))


def drift(*, as_json: AsJson = False) -> None:
    """Show by how much the counters in prompts differ from the events, or did before the write-back."""
    answer = reading.drift(open_current_database())
    print_json(answer) if as_json else console.print(render.drift(answer))


def report(
    file: Annotated[
        Path | None, typer.Argument(help="The file to write. By default report.html in PROMPT_STATS_HOME.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Write the dashboard as one file that works offline."""
    # The web libraries take a second to import.
    from pipeline.web.dashboard.report import write_report

    written = write_report(settings(), open_current_database(), file and file.absolute())
    if as_json:
        print_json({"file": str(written.file), "bytes": written.size, "as_of": written.as_of})
    else:
        console.print(literal("Written: ", (written.file.as_uri(), "bold")), soft_wrap=True)
