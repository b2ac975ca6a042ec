"""Examines Dagster's home for the doctor: its folder, storage, daemon and schedules."""

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
"""The daemon of the schedules writes a heartbeat every 30 seconds."""


def examine_home(setup: Setup) -> Iterator[Finding]:
    """Examines the home that the commands use."""
    require_own_home(setup.settings.home)
    home = setup.settings.dagster_home
    yield folder("Dagster home", home)
    others = os.environ.get("DAGSTER_HOME")
    if others and Path(others).absolute() != home:
        yield warning(
            "Dagster home",
            f"DAGSTER_HOME is {others}, but prompt-stats uses {home}, so each shows only its own runs",
            f"Set DAGSTER_HOME={home}",
        )
    if not _has_storage(home):
        yield warning(
            "Dagster",
            "it has never run here, so nothing is refreshed automatically",
            "Start prompt-stats ui, or the services of docs/deployment.md",
        )
        return
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            runs = instance.get_runs_count()
            yield ok("Dagster", f"its storage can be opened and has {runs:,} runs")
            yield _daemon(instance)
            yield from _stopped(instance)
    except Exception as error:
        # Dagster passes on whatever its storage raises.
        remedy = f"Check {home / 'dagster.yaml'}, that its server is running, and that its variables are set"
        yield wrong("Dagster", f"its storage can't be opened: {readable(error)}", remedy)


def _has_storage(home: Path) -> bool:
    """Whether there is a storage, or one is configured elsewhere. Opening it would create it as our user."""
    configuration = home / "dagster.yaml"
    configured = yaml.safe_load(configuration.read_text()) if configuration.exists() else None
    return (home / "history").exists() or "storage" in (configured or {})


def _daemon(instance: dg.DagsterInstance) -> Finding:
    heartbeat = instance.get_daemon_heartbeats().get("SCHEDULER")
    if heartbeat is None:
        return warning(
            "Dagster daemon",
            "it has never run, so nothing is refreshed automatically",
            "Start prompt-stats ui, or the service prompt-stats-daemon",
        )
    heard = dt.datetime.now(dt.UTC) - dt.datetime.fromtimestamp(heartbeat.timestamp, dt.UTC)
    ago = dt.timedelta(seconds=round(heard.total_seconds()))
    if heard > SILENT:
        remedy = "Start prompt-stats ui, or the service prompt-stats-daemon"
        return warning("Dagster daemon", f"its last heartbeat was {ago} ago", remedy)
    if heartbeat.errors:
        said = " ".join(heartbeat.errors[0].message.split())
        return warning("Dagster daemon", f"it reports: {said}", "See its log")
    return ok("Dagster daemon", f"its last heartbeat was {ago} ago")


def _stopped(instance: dg.DagsterInstance) -> Iterator[Finding]:
    stopped = instance.all_instigator_state(
        instigator_type=InstigatorType.SCHEDULE, instigator_statuses={InstigatorStatus.STOPPED}
    )
    for state in stopped:
        yield warning(
            "Dagster schedules",
            f"{state.instigator_name} is switched off",
            "Switch it on in Dagster's UI, under Automation, unless it is off on purpose",
        )
