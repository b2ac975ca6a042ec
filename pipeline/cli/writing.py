"""``migrate``, ``seed-prompts``, ``simulate``, ``refresh``, ``backfill``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import formats
from pipeline.adoption import schema
from pipeline.adoption.partitions import PartitionBy
from pipeline.answers import reading
from pipeline.cli import render
from pipeline.cli.context import (
    AsJson,
    confirm,
    console,
    messages,
    open_current_database,
    open_database,
    print_json,
    progress_bar,
    refreshing,
    working,
)
from pipeline.database.connections import Database
from pipeline.days import DayRange, last_open_day
from pipeline.errors import InputError, LakeConflictError, LakeError
from pipeline.installation import Installation
from pipeline.lake import source
from pipeline.samples import seeding
from pipeline.settings import settings

if TYPE_CHECKING:
    from pipeline.samples.simulation import SimulationReport

MaxRowsPerSecond = Annotated[
    int | None, typer.Option(min=1, help="Read at most N raw events per second, to spare the database.")
]


def migrate(
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be done.")] = False,
    undo: Annotated[
        bool,
        typer.Option("--undo", help="Remove what migrate added. The stats are lost, the app's rows stay."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation of --undo.")] = False,
    partition_by: Annotated[
        PartitionBy | None,
        typer.Option(help="Create prompt_usage with partitions, if the table does not exist yet."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database to this version's schema. Running it again changes nothing.

    The app's tables keep everything they have. Each step on them is quick. A step that does not get its lock
    within half a second gives way to other sessions and tries again later.
    """
    if plan and undo:
        raise InputError("Migrating", "--plan and --undo can't be used together", "Give one of them")
    database = open_database()
    if plan:
        planned = schema.plan_migration(database, partition_by)
        if as_json:
            print_json(planned.as_json())
        else:
            # What is pasted elsewhere may not be broken.
            console.print(render.migration_plan(planned), soft_wrap=True)
        return
    if undo:
        confirm(
            "This drops the stats tables, the rejected events, and everything else that migrate added.",
            yes=yes,
        )
    with working("migrating") as spinner:

        def did(step: str) -> None:
            if as_json:
                return
            # The spinner stands on the same screen, and would take the line for its own.
            spinner.stop()
            console.print(f"{'undid' if undo else 'did'}: {step}", soft_wrap=True)
            console.file.flush()
            spinner.start()

        def waits(text: str) -> None:
            messages.print(text, soft_wrap=True)

        notify = schema.Callbacks(spinner.update, did, waits)
        report = schema.undo(database, notify) if undo else schema.migrate(database, notify, partition_by)
    for warning in report.warnings:
        messages.print(f"warning: {warning}.", soft_wrap=True)
    if as_json:
        print_json(asdict(report))
    elif not report.steps:
        console.print(f"Nothing to do: the schema is at {report.after or 'its base'}.")


def seed_prompts(
    file: Annotated[
        Path | None, typer.Argument(help="A JSON or YAML file. By default the shipped prompts.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Import prompt templates. Those that exist already get the new text and keep their stats."""
    report = seeding.seed_prompts(open_current_database(), file)
    if as_json:
        print_json(asdict(report))
    else:
        console.print(", ".join(f"{number} {name}" for name, number in asdict(report).items()))


def simulate(
    *,
    events: Annotated[int, typer.Option(min=1, help="How many events to append.")] = 200_000,
    days: Annotated[int, typer.Option(min=1, help="Over how many days they are spread, up to now.")] = 30,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same users with the same habits.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Append realistic simulated traffic to try things out. Do not use it in production."""
    report = simulate_with_progress(open_current_database(), events, days, seed)
    if as_json:
        print_json(asdict(report))
    else:
        console.print(f"{formats.count(events)} events over {days} days are in prompt_usage.")


def simulate_with_progress(database: Database, events: int, days: int, seed: int | None) -> SimulationReport:
    """Simulates with a progress bar."""
    # Arrow and numpy take a second to import.
    from pipeline.samples import simulation

    with progress_bar("appending events") as advance:
        return simulation.simulate(database, events=events, days=days, seed=seed, progress=advance)


def refresh(*, max_rows_per_second: MaxRowsPerSecond = None, as_json: AsJson = False) -> None:
    """Bring the stats up to date. The schedule does the same every five minutes."""
    database = open_current_database()
    since = _latest_refresh(database)
    _report(database, refresh_stale(database, max_rows_per_second), since, as_json=as_json)


def backfill(
    *,
    first: Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")],
    last: Annotated[dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day.")],
    max_rows_per_second: MaxRowsPerSecond = None,
    as_json: AsJson = False,
) -> None:
    """Read the raw events of a range of days again, and publish."""
    days = DayRange(first.date(), last.date())
    _check_range(days)
    database = open_current_database()
    since = _latest_refresh(database)
    ranges = run_ranges([days], database, replace=True, max_rows_per_second=max_rows_per_second)
    _report(database, ranges, since, as_json=as_json)


def refresh_stale(database: Database, max_rows_per_second: int | None = None) -> list[DayRange]:
    """Runs the job over the stale days. Returns the ranges, one per run, or none if nothing is stale."""
    # The lake's libraries take a second to import; the reading commands do without.
    from pipeline import refresh as steps
    from pipeline.lake.source_table import compare_now
    from pipeline.lake.usage_events import open_usage_events

    installation = Installation.of(settings(), database)
    plan = steps.plan_refresh(installation)
    events = open_usage_events(installation.lake)
    if not plan.is_first and compare_now(database, events, installation.first_day):
        plan = steps.plan_refresh(installation)
    if plan.is_quiet:
        # Dagster takes as long again to import, and a run longer than the work.
        with working("publishing"):
            steps.refresh(installation, plan.days, values=True)
        return []
    from pipeline.orchestration.jobs import stale_ranges
    from pipeline.orchestration.resources import Stores

    ranges = stale_ranges(plan, Stores(settings(), database))
    return run_ranges(ranges, database, replace=False, max_rows_per_second=max_rows_per_second)


def run_ranges(
    ranges: Sequence[DayRange], database: Database, *, replace: bool, max_rows_per_second: int | None
) -> list[DayRange]:
    """Runs the job over each range in this process."""
    from pipeline.definitions import build_definitions
    from pipeline.orchestration import instance
    from pipeline.orchestration.resources import Stores

    instance.prepare_environment(settings().dagster_home)
    stores = Stores(settings(), database)
    definitions = build_definitions(stores)
    failure: LakeError | None = None
    with instance.open_instance() as dagster:
        for number, days in enumerate(ranges, start=1):
            what = f"refreshing {days.first} to {days.last} ({number} of {len(ranges)})"
            try:
                with refreshing(what) as stores.progress:
                    instance.run_refresh(
                        definitions, dagster, days, replace=replace, max_rows_per_second=max_rows_per_second
                    )
            except LakeConflictError:
                raise
            except LakeError as error:
                # A fault of some days does not hold up the other ranges.
                failure = failure or error
    _say_repaired(stores.repaired)
    if failure:
        raise failure
    return list(ranges)


def _say_repaired(days: Mapping[dt.date, str]) -> None:
    for day, why in sorted(days.items()):
        messages.print(f"repaired {day}: {why}", highlight=False, soft_wrap=True)


def _check_range(days: DayRange) -> None:
    if days.last < days.first:
        raise InputError(
            f"Backfilling {days.first} to {days.last}", "the range ends before it begins", "Swap the two days"
        )
    latest = last_open_day(dt.datetime.now(dt.UTC))
    if days.last > latest:
        raise InputError(
            f"Backfilling {days.first} to {days.last}",
            f"the range ends in the future, and events are counted only up to {latest}",
            f"End it at {latest} or earlier",
        )
    if days.first < settings().start_date:
        raise InputError(
            f"Backfilling {days.first} to {days.last}",
            f"the first partition is {settings().start_date}, and earlier events belong to it",
            "Begin with that day, or set PROMPT_STATS_START_DATE",
        )


def _report(database: Database, ranges: Sequence[DayRange], since: int, *, as_json: bool) -> None:
    """Prints the status, and how the app's counters differed if a refresh after ``since`` replaced them."""
    answer = reading.status(Installation.of(settings(), database))
    drift = reading.taken_over(database, since)
    if as_json:
        print_json({"ranges": [days._asdict() for days in ranges], **answer, "drift": drift})
        return
    if drift:
        console.print(render.drift(drift))
    console.print(render.status(answer))


def _latest_refresh(database: Database) -> int:
    with database.engine.connect() as connection:
        latest = source.latest_refresh(connection)
    return latest["id"] if latest else 0
