"""The commands: where each is, and its line in the help. Nothing here imports what a command needs.

Importing what the commands need takes more than a second, and ``--help`` needs none of it. So a command's
module is imported when the command is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

COMMANDS = {
    "demo": (
        "tour.demo",
        "Take the tour: a database, made-up traffic, a refresh, a table and a picture. Under a minute.",
    ),
    "migrate": (
        "writing.migrate",
        "Bring the database to this version's schema; doing it again does nothing.",
    ),
    "seed-prompts": (
        "writing.seed_prompts",
        "Import prompt templates; those that exist get the new text and keep their stats.",
    ),
    "simulate": (
        "writing.simulate",
        "Append believable made-up traffic; for trying things out, not for production.",
    ),
    "refresh": (
        "writing.refresh",
        "Bring the stats up to date: what the schedule does every five minutes.",
    ),
    "backfill": ("writing.backfill", "Read a range of days again from the raw events and publish."),
    "reconcile": (
        "keeping.reconcile",
        "Compare every day of the lake with Postgres, and the stats with the lake; repair what differs.",
    ),
    "accept-settings": (
        "keeping.accept_settings",
        "Count with another PROMPT_STATS_START_DATE or PROMPT_STATS_TABLES from now on: those of this shell.",
    ),
    "keep-up": (
        "keeping.keep_up",
        "Join the lake's small files and delete those that were replaced more than a week ago.",
    ),
    "claim-lake": (
        "keeping.claim_lake",
        "Make this database the owner of the lake; the next refresh reads all but expired days anew.",
    ),
    "retain": (
        "keeping.retain",
        "Remove older raw events from Postgres once the lake has them; no number changes.",
    ),
    "erase-user": (
        "keeping.erase_user",
        "Erase a person's events from Postgres, the lake with its old files, the journal, and the stats.",
    ),
    "status": ("reading.status", "Show how fresh and how complete the stats are."),
    "check": (
        "checking.check",
        "Check the stats: fresh, complete, equal to a recount, and nothing waits; say what to do.",
    ),
    "doctor": (
        "checking.doctor",
        "Examine the set-up: environment, database, rights, lake, Dagster; say what to do. Changes nothing.",
    ),
    "top": ("reading.top", "Show the most used prompts, of all time or of some days."),
    "show": (
        "reading.show",
        "Show one prompt: counters, rate, times, scenes, days; of all time or of some days.",
    ),
    "compare": (
        "comparing.compare",
        "Say whether one prompt is better than another, or than it was before a date.",
    ),
    "drift": (
        "reading.drift",
        "Show how far the counters in prompts are from what is counted; once written back, were.",
    ),
    "alerts": ("alerting.alerts", "Show what is far worse than its own past."),
    "export": (
        "exporting.export",
        "Write a stats table, or the prompts, to a file: Parquet, CSV or JSON, of one moment.",
    ),
    "report": ("reading.report", "Write the dashboard as one file that works offline."),
    "send-journal": (
        "events.send_journal",
        "Send what a tracker's journal holds, after the app that wrote it is gone.",
    ),
    "track-missing": (
        "events.track_missing",
        "Append an event for each post that was made from a prompt and has none, once.",
    ),
    "serve": (
        "serving.serve",
        "Serve the dashboard and the HTTP API. Without PROMPT_STATS_API_TOKEN it answers this machine alone.",
    ),
    "ui": (
        "tour.ui",
        "Open Dagster's UI, with the schedule and its daemon, on the same database and home.",
    ),
    "exec": (
        "tour.exec_app",
        "Run a program, psql for example, with the database's address in its environment.",
    ),
    "rejected": ("events.rejected_app", "List, replay or discard events that could not be taken."),
}
"""By name: the function, or the app of its own, in this package; and the first paragraph of its help."""


def load(name: str) -> Any:
    """The whole command, with its options; its module is imported."""
    module, _, attribute = COMMANDS[name][0].partition(".")
    found = getattr(import_module(f"pipeline.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


class LazyCommand(TyperCommand):
    """Has a name and a line in the help, and is another command once it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the whole command: of that, options are read and the function is called."""
        return load(str(self.name)).make_context(info_name, args, parent, **extra)


def add_to(app: typer.Typer) -> None:
    """Adds the commands, in their order in the help."""
    for name, (_, line) in COMMANDS.items():
        app.command(name, cls=LazyCommand, help=line)(load)
