"""``alerts``: what is raised, and silencing it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from pipeline import formats, reading
from pipeline.cli import render
from pipeline.cli.context import AsJson, console, open_current_database, print_json


def alerts(
    *,
    days: Annotated[int, typer.Option(min=0, max=365, help="Also those that recovered so lately.")] = 0,
    silence: Annotated[int | None, typer.Option(help="Tell nobody of the alert with this id.")] = None,
    hours: Annotated[float, typer.Option(min=0, max=8760, help="For how long to silence it.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Show what is far worse than its own past."""
    database = open_current_database()
    if silence is not None:
        # The lake's libraries take a second to import.
        from pipeline.alerts.evaluation import silence as silence_alert

        until = silence_alert(database, silence, dt.timedelta(hours=hours))
        answer = {"id": silence, "silenced_until": until}
        words = f"Nobody is told of alert {silence} before {formats.moment(until)}."
        print_json(answer) if as_json else console.print(words)
        return
    found = reading.alerts(database, days)
    print_json(found) if as_json else console.print(render.alerts(found))
