"""``alerts``: shows alerts, mutes one, and tests whether messages reach their receivers."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from pipeline import formats
from pipeline.answers import reading
from pipeline.cli import render
from pipeline.cli.context import AsJson, console, open_current_database, print_json
from pipeline.errors import SettingsError
from pipeline.settings import settings


def alerts(
    *,
    days: Annotated[int, typer.Option(min=0, max=365, help="Also show those recovered within N days.")] = 0,
    silence: Annotated[int | None, typer.Option(help="Mute the alert with this id.")] = None,
    hours: Annotated[float, typer.Option(min=0, max=8760, help="For how many hours to mute it.")] = 24,
    test: Annotated[bool, typer.Option("--test", help="Send a test message to every receiver.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the alerts: what is far worse than its own past."""
    if test:
        _test(as_json=as_json)
        return
    database = open_current_database()
    if silence is not None:
        # The lake's libraries take a second to import.
        from pipeline.alerts.evaluation import silence as silence_alert

        until = silence_alert(database, silence, dt.timedelta(hours=hours))
        answer = {"id": silence, "silenced_until": until}
        words = f"Alert {silence} is muted until {formats.moment(until)}."
        print_json(answer) if as_json else console.print(words)
        return
    found = reading.alerts(database, days)
    print_json(found) if as_json else console.print(render.alerts(found))


def _test(*, as_json: bool) -> None:
    """Sends the test messages. It does not use the database.

    :raises SettingsError: there is no receiver.
    :raises typer.Exit: with 1, a receiver did not accept the message.
    """
    # The database's driver and the mail's libraries take a while to import.
    from pipeline.alerts import messages, notifier

    outcomes = notifier.send_to_each(settings(), messages.trial())
    if not outcomes:
        raise SettingsError(
            "Sending a test message",
            "no receiver is configured",
            "Set PROMPT_STATS_ALERT_WEBHOOK_URL or PROMPT_STATS_ALERT_EMAIL_TO: see docs/alerts.md",
        )
    if as_json:
        print_json(
            {
                "receivers": [
                    {"name": name, "sent": error is None, "failure": error and str(error)}
                    for name, error in outcomes.items()
                ]
            }
        )
    else:
        for name, error in outcomes.items():
            said = f"not sent: {error.wrong}. {error.remedy}." if error else "sent"
            console.print(f"{name}: {said}", soft_wrap=True)
    if any(outcomes.values()):
        raise typer.Exit(1)
