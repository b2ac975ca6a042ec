"""The commands: where each one is, and its line in the help. Nothing here imports what a command needs.

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
        "Take a tour in less than a minute: set up a database, simulate traffic, refresh, show the stats.",
    ),
    "migrate": (
        "writing.migrate",
        "Bring the database to this version's schema. Running it again changes nothing.",
    ),
    "seed-prompts": (
        "writing.seed_prompts",
        "Import prompt templates. Those that exist already get the new text and keep their stats.",
    ),
    "simulate": (
        "writing.simulate",
        "Append realistic simulated traffic to try things out. Do not use it in production.",
    ),
    "refresh": (
        "writing.refresh",
        "Bring the stats up to date. The schedule does the same every five minutes.",
    ),
    "backfill": ("writing.backfill", "Read the raw events of a range of days again, and publish."),
    "reconcile": (
        "keeping.reconcile",
        "Compare every day of the lake with Postgres, and the stats with the lake. Repair what differs.",
    ),
    "accept-settings": (
        "keeping.accept_settings",
        "From now on, count with the PROMPT_STATS_START_DATE and PROMPT_STATS_TABLES of this shell.",
    ),
    "keep-up": (
        "keeping.keep_up",
        "Join the lake's small files, and delete files that were replaced more than a week ago.",
    ),
    "claim-lake": (
        "keeping.claim_lake",
        "Make this database the owner of the lake. The next refresh reads all but expired days again.",
    ),
    "retain": (
        "keeping.retain",
        "Remove old raw events from Postgres if the lake has them. No number changes.",
    ),
    "erase-user": (
        "keeping.erase_user",
        "Erase a person's events from Postgres, the lake and its old files, the journal, and the stats.",
    ),
    "status": ("reading.status", "Show how fresh and how complete the stats are."),
    "check": (
        "checking.check",
        "Check that the stats are fresh, complete and equal to a recount. Say what to do if they are not.",
    ),
    "doctor": (
        "checking.doctor",
        "Examine environment, database, rights, lake and Dagster, and say what to do. It changes nothing.",
    ),
    "top": ("reading.top", "Show the most used prompts of all time, or of a range of days."),
    "show": (
        "reading.show",
        "Show a prompt's counters, rate, times, scenes and days, of all time or of a range of days.",
    ),
    "compare": (
        "comparing.compare",
        "Say whether one prompt is better than another, than in the period before, or than before a date.",
    ),
    "drift": (
        "reading.drift",
        "Show by how much the counters in prompts differ from the events, or did before the write-back.",
    ),
    "alerts": ("alerting.alerts", "Show the alerts: what is far worse than its own past."),
    "export": (
        "exporting.export",
        "Write a stats table, or the prompts, to a file: Parquet, CSV or JSON, of one moment or some days.",
    ),
    "report": ("reading.report", "Write the dashboard as one file that works offline."),
    "send-journal": (
        "events.send_journal",
        "Send the events that a tracker left in its journal, once its app is gone.",
    ),
    "track-missing": (
        "events.track_missing",
        "Append an event for each post that was made from a prompt and has none.",
    ),
    "serve": (
        "serving.serve",
        "Serve the dashboard and the HTTP API, without PROMPT_STATS_API_TOKEN only to this machine.",
    ),
    "ui": (
        "tour.ui",
        "Run Dagster's UI and its daemon with the schedules, on the same database and home.",
    ),
    "exec": (
        "tour.exec_app",
        "Run a program, for example psql, with the database's address in its environment.",
    ),
    "rejected": ("events.rejected_app", "List, replay or discard rejected events."),
}
"""By name: the function or group of commands in this package, and the first paragraph of its help."""


def load(name: str) -> Any:
    """The whole command with its options. Its module is imported."""
    module, _, attribute = COMMANDS[name][0].partition(".")
    found = getattr(import_module(f"pipeline.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


class LazyCommand(TyperCommand):
    """Stands for a command in the help, and loads it when it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the loaded command, which reads the options and calls the function."""
        return load(str(self.name)).make_context(info_name, args, parent, **extra)


def add_to(app: typer.Typer) -> None:
    """Adds the commands in the order of the help."""
    for name, (_, line) in COMMANDS.items():
        app.command(name, cls=LazyCommand, help=line)(load)
