"""Commands that keep the data true and small.

``reconcile``, ``accept-settings``, ``keep-up``, ``claim-lake``, ``retain``, ``erase-user``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from pipeline import formats
from pipeline.cli.context import (
    AsJson,
    Yes,
    confirm,
    console,
    messages,
    open_installation,
    print_json,
    progress_bar,
    working,
)
from pipeline.cli.terminal import literal
from pipeline.errors import LakeError
from pipeline.settings import settings


def reconcile(*, as_json: AsJson = False) -> None:
    """Compare every day of the lake with Postgres, and the stats with the lake. Repair what differs."""
    from pipeline.maintenance.reconcile import reconcile

    installation = open_installation()
    with progress_bar("comparing months") as advance:
        report = reconcile(installation, advance)
    if as_json:
        print_json(
            {
                "days": report.days,
                "events": report.events,
                "expired_days": report.expired_days,
                "expired_events": report.expired_events,
                "repaired": _by_day(report.repaired),
                "rebuilt": report.rebuilt,
                "lost": _by_day(report.lost),
                "rows_corrected": report.rows_corrected,
            }
        )
    else:
        console.print(f"{formats.count(report.events)} events of {report.days} days compared with Postgres.")
        if report.expired_days:
            events = formats.count(report.expired_events)
            console.print(f"{events} events of {report.expired_days} days are only in the lake.")
        _print_days("read again", report.repaired)
        for table, days in report.rebuilt.items():
            console.print(f"rebuilt: {len(days)} partitions of {table}")
        for table, rows in report.rows_corrected.items():
            console.print(f"corrected: {rows} rows of {table}")
        _print_days("lost", report.lost)
    if report.lost:
        day, why = min(report.lost.items())
        raise LakeError(
            f"Comparing the days that are only in the lake ({len(report.lost)} are incomplete, first {day})",
            why,
            "Restore these days of usage_events from the lake's backup; Postgres no longer has them",
        )


def accept_settings(
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """From now on, count with the PROMPT_STATS_START_DATE and PROMPT_STATS_TABLES of this shell."""
    from pipeline.lake.acceptance import accept_settings, compare_settings

    installation = open_installation()
    report = compare_settings(installation.database, installation.first_day)
    is_other = report.before not in {None, report.after}
    if report.before and is_other:
        for name, before in asdict(report.before).items():
            messages.print(literal(f"{name}: {before} → {asdict(report.after)[name]}"))
        confirm("All services need the new settings, too.", yes=yes)
    report = accept_settings(installation)
    if as_json:
        print_json(asdict(report))
    elif is_other:
        console.print("The next prompt-stats refresh reads everything again. Until then the stats stay.")
    else:
        console.print("Nothing to do: the stats were made with the same settings.")


def keep_up(*, as_json: AsJson = False) -> None:
    """Join the lake's small files, and delete files that were replaced more than a week ago."""
    from pipeline.lake import upkeep

    installation = open_installation()
    with working("tidying the lake"):
        report = upkeep.keep_up(installation)
    if as_json:
        print_json(asdict(report))
    else:
        console.print(f"{report.files_joined} files joined, {report.files_deleted} deleted.")


def claim_lake(
    *,
    discard: Annotated[
        bool,
        typer.Option(
            "--discard",
            help="Discard what the lake holds and this database does not know, or expired days as they were.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation of --discard.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make this database the owner of the lake. The next refresh reads all but expired days again."""
    from pipeline.lake.usage_events import claim_lake

    installation = open_installation()
    if discard:
        confirm(f"This discards for good what {installation.lake} holds of another database.", yes=yes)
    with working("claiming the lake"):
        is_new = claim_lake(installation, discard=discard)
    if as_json:
        print_json({"is_new_owner": is_new})
    elif is_new:
        console.print(
            "The lake now belongs to this database, and refuses any other. Next: prompt-stats refresh"
        )
    else:
        console.print("The lake already belongs to this database. Nothing was changed.")


def retain(
    *,
    days: Annotated[int, typer.Option(min=1, help="How many days of raw events to keep, including today.")],
    as_json: AsJson = False,
) -> None:
    """Remove old raw events from Postgres if the lake has them. No number changes."""
    from pipeline.maintenance.retention import retain

    installation = open_installation()
    with progress_bar("removing raw events") as advance:
        report = retain(installation, days, advance)
    if as_json:
        print_json({**asdict(report), "kept": _by_day(report.kept)})
    else:
        console.print(f"{len(report.expired)} days expired, {formats.count(report.rows)} raw events removed.")
        if report.rows_kept:
            stay = formats.count(report.rows_kept)
            console.print(f"{stay} raw events of expired days were kept: the lake does not have them.")
        _print_days("kept", report.kept)


def erase_user(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person's events from Postgres, the lake and its old files, the journal, and the stats."""
    from pipeline.maintenance.erasure import erase_user
    from pipeline.orchestration.mentions import search_storage

    installation = open_installation()
    confirm(f"This erases all events of the user {user} for good.", yes=yes)
    with working("erasing"):
        report = erase_user(
            installation,
            user,
            home=settings().home,
            journal_dir=settings().journal_dir,
            searches=[partial(search_storage, settings().dagster_home)],
        )
    if as_json:
        print_json(asdict(report))
    else:
        console.print(
            f"{formats.count(report.rows['prompt_usage'])} raw events removed from Postgres,"
            f" {formats.count(report.events)} from the lake,"
            f" {formats.count(report.waiting)} from the journal. {report.files} old files deleted."
        )
        if report.blanked:
            console.print(f"The id was overwritten {formats.count(report.blanked)} times in logs.")
        for place, why in report.dead.items():
            console.print(
                f"Deleted rows of {place} stay on the server's disk until autovacuum removes them: {why}",
                highlight=False,
            )
        for place, count in report.left_to_app.items():
            console.print(
                f"{place} mentions the user {count} times. It belongs to the app and was not changed.",
                highlight=False,
            )
    if report.unread:
        raise LakeError(
            "Searching every table and file for the user",
            f"{len(report.unread)} could not be searched: {_listed(report.unread, '{}, {}')}",
            "Restore or repair them and run the command again; everything else is done",
        )
    if report.found:
        raise LakeError(
            "Searching every table and file for the user",
            f"{len(report.found)} still have the id: {_listed(report.found, '{}, {} times')}",
            "If new events came in, or if a writer died within the last hour, run the command again in an"
            " hour. Delete by hand what else mentions the person; you can delete runs in Dagster's UI",
        )


def _listed(places: Mapping[str, object], form: str) -> str:
    return "; ".join(form.format(*each) for each in places.items())


def _by_day(reasons: Mapping[dt.date, str]) -> dict[str, str]:
    return {day.isoformat(): why for day, why in sorted(reasons.items())}


def _print_days(what: str, reasons: Mapping[dt.date, str]) -> None:
    for day, why in sorted(reasons.items()):
        console.print(f"{what}: {day}, {why}")
