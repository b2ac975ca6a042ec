"""Dagster's home, as the doctor looks at it: it can be written, its storage opens, its daemon is alive."""

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus

from pipeline.errors import readable
from pipeline.files import require_own_home
from pipeline.health.doctor.findings import Finding, ok, warning, wrong
from pipeline.health.doctor.folders import folder
from pipeline.health.doctor.setup import Setup

SILENT = dt.timedelta(minutes=5)
"""The daemon of the schedules gives a sign of life every 30 seconds."""


def examine_home(setup: Setup) -> Iterator[Finding]:
    """The home that commands use; without one of its own the schedule has nowhere to run."""
    require_own_home(setup.settings.home)
    home = setup.settings.dagster_home
    yield folder("Dagster home", home)
    others = os.environ.get("DAGSTER_HOME")
    if others and Path(others).absolute() != home:
        yield warning(
            "Dagster home",
            f"DAGSTER_HOME is {others}, and prompt-stats uses {home}: what one runs the other does not show",
            f"Set DAGSTER_HOME={home}",
        )
    if not _has_storage(home):
        yield warning(
            "Dagster",
            "it never ran here, so nothing is refreshed by itself",
            "prompt-stats ui, or the services of docs/deployment.md",
        )
        return
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            runs = instance.get_runs_count()
            yield ok("Dagster", f"its storage opens, with {runs:,} runs")
            yield _daemon(instance)
            yield from _stopped(instance)
    except Exception as error:
        # Dagster passes on what its storage raises, whichever that is.
        remedy = f"See {home / 'dagster.yaml'}, and that its server runs and its variables are set"
        yield wrong("Dagster", f"its storage does not open: {readable(error)}", remedy)


def _has_storage(home: Path) -> bool:
    """Whether there is one, or one is configured elsewhere. To open it would make it, for whoever we are."""
    configuration = home / "dagster.yaml"
    configured = yaml.safe_load(configuration.read_text()) if configuration.exists() else None
    return (home / "history").exists() or "storage" in (configured or {})


def _daemon(instance: dg.DagsterInstance) -> Finding:
    heartbeat = instance.get_daemon_heartbeats().get("SCHEDULER")
    if heartbeat is None:
        return warning(
            "Dagster daemon",
            "none ever ran, so nothing is refreshed by itself",
            "prompt-stats ui, or the service prompt-stats-daemon",
        )
    heard = dt.datetime.now(dt.UTC) - dt.datetime.fromtimestamp(heartbeat.timestamp, dt.UTC)
    ago = dt.timedelta(seconds=round(heard.total_seconds()))
    if heard > SILENT:
        remedy = "Start it: prompt-stats ui, or the service prompt-stats-daemon"
        return warning("Dagster daemon", f"it was last heard of {ago} ago", remedy)
    if heartbeat.errors:
        said = " ".join(heartbeat.errors[0].message.split())
        return warning("Dagster daemon", f"it says: {said}", "See its log")
    return ok("Dagster daemon", f"last heard of {ago} ago")


def _stopped(instance: dg.DagsterInstance) -> Iterator[Finding]:
    stopped = instance.all_instigator_state(
        instigator_type=InstigatorType.SCHEDULE, instigator_statuses={InstigatorStatus.STOPPED}
    )
    for state in stopped:
        yield warning(
            "Dagster schedules",
            f"{state.instigator_name} is switched off",
            "Switch it on in Dagster's UI, under Automation, unless that is meant",
        )
