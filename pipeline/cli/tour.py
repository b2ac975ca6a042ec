"""``demo`` shows every step once. ``ui`` and ``exec`` run other programs on the same data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from psycopg.pq import Conninfo
from sqlalchemy import text

from pipeline.adoption import schema
from pipeline.answers import reading
from pipeline.cli import render
from pipeline.cli.context import console, messages, open_database
from pipeline.cli.terminal import literal
from pipeline.cli.writing import refresh_stale, simulate_with_progress
from pipeline.database import sessions
from pipeline.database.connections import Database
from pipeline.database.embedded import client
from pipeline.database.embedded.server import binaries
from pipeline.database.queries import query
from pipeline.errors import InputError
from pipeline.files import given_umask
from pipeline.installation import Installation
from pipeline.samples import seeding
from pipeline.settings import LogFormat, settings
from pipeline.tracking import PromptTracker

DEMO_EVENTS = 200_000
DEMO_DAYS = 30
DEMO_SEED = 1

IS_USED = text(query("cli/is_used"))


def demo() -> None:
    """Take a tour in less than a minute: set up a database, simulate traffic, refresh, show the stats."""
    # The web libraries take a second to import.
    from pipeline.web.dashboard.report import write_report

    home = settings().home
    database = open_database()
    _step("Postgres", "the database of DATABASE_URL" if settings().database_url else f"embedded, in {home}")
    report = schema.migrate(database)
    _step("Schema", "created" if report.steps else "already there")
    seeded = seeding.seed_prompts(database)
    _step("Prompts", f"{seeded.imported} imported, {seeded.unchanged} unchanged")
    _append_traffic(database)
    refresh_stale(database)
    _step("Refresh", "raw events → lake → daily partials → stats, in one Dagster run per range of days")
    _use_a_prompt(database)
    console.print()
    console.print(render.top(reading.top_prompts(Installation.of(settings(), database), 10)))
    written = write_report(settings(), database)
    console.print()
    console.print(literal("The same stats with charts: ", (written.file.as_uri(), "bold")), soft_wrap=True)
    program = "prompt-stats" if shutil.which("prompt-stats") else os.path.relpath(sys.argv[0])
    console.print()
    console.print("What to type next:")
    for command, what in (
        ("show portrait-selfie-casual", "shows one prompt with its scenes and days"),
        ("status", "shows how fresh and how complete the stats are"),
        ("serve", "serves the dashboard and the HTTP API"),
        ("ui", "runs Dagster with the schedules, for backfills"),
        ("simulate --events 10000 --days 2", "appends more traffic; then run refresh"),
    ):
        console.print(literal(f"  {program} {command:<34}", (what, "dim")), soft_wrap=True)


def ui(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port to listen on.")] = 3000,
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            "-w",
            exists=True,
            dir_okay=False,
            help="Run only the UI. This file says where the code server is; the daemon runs elsewhere.",
        ),
    ] = None,
) -> None:
    """Run Dagster's UI and its daemon with the schedules, on the same database and home."""
    # They take seconds to import.
    from pipeline.orchestration import instance, webserver
    from pipeline.orchestration.guard import allowed_hosts

    hosts = allowed_hosts(settings().ui_hosts, host)
    listener = webserver.Listener(host, port, hosts, plain=settings().log_format is LogFormat.TEXT)
    if workspace is None:
        schema.require_current(open_database())
    instance.prepare_environment(settings().dagster_home)
    console.print(
        f"Dagster is starting. Within a minute it answers at http://{host}:{port}. Ctrl-C stops it.",
        soft_wrap=True,
    )
    sys.stdout.flush()
    with instance.open_instance() as opened:
        if workspace:
            webserver.run_webserver(opened, workspace, listener)
            return
        exit_code = webserver.run_services(opened, listener)
    if exit_code:
        messages.print(
            "Dagster's daemon ended, so the UI was stopped. Its last messages are above.", style="red"
        )
    raise typer.Exit(exit_code)


exec_app = typer.Typer(add_completion=False)


# What follows the program's name is the program's.
@exec_app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    command: Annotated[list[str], typer.Argument(help="A program with its arguments: psql -c 'SELECT 1'.")],
) -> None:
    """Run a program, for example psql, with the database's address in its environment."""
    # Held open as for the UI: the embedded server runs as long as the program.
    database = open_database()
    given = Conninfo.parse(database.conninfo.encode())
    # All but our name: it is that program's session.
    libpq = {
        part.envvar.decode(): part.val.decode()
        for part in given
        if part.envvar and part.val and part.keyword != b"application_name"
    }
    libpq["PGTZ"] = "UTC"
    # Of two options the last one counts: the caller's.
    options = (
        libpq.get("PGOPTIONS"),
        sessions.search_path_option(database.names),
        os.environ.get("PGOPTIONS"),
    )
    libpq["PGOPTIONS"] = " ".join(filter(None, options))
    environment = {**os.environ, **libpq}
    if not settings().database_url:
        # Without parameters, which are libpq's own and not every driver's; libpq takes PGREQUIREAUTH.
        environment["DATABASE_URL"] = client.start(settings().home).partition("?")[0]
        # An older pg_dump of this system would refuse the embedded server.
        environment["PATH"] = f"{binaries()}{os.pathsep}{environment.get('PATH', os.defpath)}"
    try:
        ended = subprocess.run(command, env=environment, umask=given_umask(), check=False)
    except OSError as error:
        raise InputError(
            f"Running {command[0]}", str(error.strerror).lower(), "Install it, or give its full path"
        ) from error
    raise typer.Exit(ended.returncode)


def _append_traffic(database: Database) -> None:
    with database.engine.connect() as connection:
        is_used = connection.execute(IS_USED).scalar_one()
    if is_used and settings().database_url:
        raise InputError(
            "Simulating traffic for the tour",
            "prompt_usage in the database of DATABASE_URL already has events",
            "Unset DATABASE_URL to take the tour on the embedded server",
        )
    if is_used:
        _step("Traffic", "already there, from an earlier tour")
        return
    simulate_with_progress(database, DEMO_EVENTS, DEMO_DAYS, DEMO_SEED)
    _step("Traffic", f"{DEMO_EVENTS:,} simulated events over {DEMO_DAYS} days, appended in bulk")


def _use_a_prompt(database: Database) -> None:
    """Tracks a few uses as an app does, and shows that a refresh counts them."""
    slug, installation = "portrait-selfie-casual", Installation.of(settings(), database)
    before = reading.prompt(installation, slug)["usage_count"]
    with PromptTracker() as tracker:
        for milliseconds in (4_200, 5_100, 3_900):
            tracker.track_post_creation(
                prompt_id=slug, scene="studio", success=True, generation_time_ms=milliseconds
            )
        tracker.track_post_creation(prompt_id=slug, success=False, error_message="timeout after 30 s")
    refresh_stale(database)
    after = reading.prompt(installation, slug)["usage_count"]
    _step("Tracker", f"4 uses of {slug} appended and counted: {before:,} → {after:,}")


def _step(what: str, how: str) -> None:
    console.print(literal(("✓ ", "green"), (f"{what:<9}", "bold"), f" {how}"), soft_wrap=True)
