"""``rejected``, ``send-journal``, ``track-missing``: events that are not where they belong yet."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import render
from pipeline.cli.context import (
    AsJson,
    confirm,
    console,
    open_current_database,
    open_installation,
    print_json,
    working,
)
from pipeline.errors import DatabaseError, InputError, NotFoundError, readable
from pipeline.formats import count, moment
from pipeline.maintenance import rejected
from pipeline.settings import settings
from pipeline.tracking import PromptTracker
from pipeline.tracking.journal import FILE, Journal, other_owner
from pipeline.tracking.rescue import Rescue, rescue
from pipeline.tracking.tracker import JOURNAL_BYTES

LOOK_SECONDS = 5.0
"""How long not a single batch may get through before it gives up."""

rejected_app = typer.Typer(
    help="List, replay or discard events that could not be taken.",
    no_args_is_help=True,
    add_completion=False,
)

Ids = Annotated[list[int] | None, typer.Argument(help="Ids of rejected events, as listed.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]


@rejected_app.command("list")
def list_rejected(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many events, the latest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show how many events were rejected, why, and the latest of them."""
    found = rejected.rejections(open_current_database(), limit)
    print_json(asdict(found)) if as_json else console.print(render.rejections(found))


@rejected_app.command("replay")
def replay_rejected(ids: Ids = None, *, everything: Everything = False, as_json: AsJson = False) -> None:
    """Track rejected events again, with their own time and id: after their prompt was added, say."""
    wanted = _wanted(ids, everything=everything)
    report = rejected.replay(open_current_database(), wanted)
    if as_json:
        print_json(asdict(report))
    else:
        console.print(f"{count(report.taken)} events taken, {count(report.rejected)} rejected again.")
    _require(wanted, report.taken + report.rejected)


@rejected_app.command("discard")
def discard_rejected(
    ids: Ids = None,
    *,
    everything: Everything = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --all.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete rejected events for good."""
    wanted, database = _wanted(ids, everything=everything), open_current_database()
    if everything:
        confirm("This deletes all rejected events, for good.", yes=yes)
    discarded = rejected.discard(database, wanted)
    print_json({"discarded": discarded}) if as_json else console.print(f"{count(discarded)} discarded.")
    _require(wanted, discarded)


def _require(ids: list[int] | None, found: int) -> None:
    """Makes sure that each id was one of a rejected event."""
    missing = len({*(ids or ())}) - found
    if ids and missing:
        raise NotFoundError(
            "Choosing rejected events",
            f"{missing} of the ids given are of none, or another process is at it; all others are done",
            "prompt-stats rejected list shows those that there are",
        )


def _wanted(ids: list[int] | None, *, everything: bool) -> list[int] | None:
    if bool(ids) == everything:
        raise InputError(
            "Choosing rejected events",
            "there are both ids and --all" if ids else "there are neither ids nor --all",
            "Give the ids that prompt-stats rejected list shows, or --all",
        )
    return ids or None


def send_journal(
    folder: Annotated[
        Path | None, typer.Argument(help="The journal; by default that of PROMPT_STATS_JOURNAL_DIR.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Send what a tracker's journal holds, after the app that wrote it is gone."""
    journal_dir = folder or settings().journal_dir
    if journal_dir is None or not journal_dir.is_dir():
        raise InputError(
            "Sending a journal",
            f"{journal_dir} is no folder" if journal_dir else "no folder is given",
            "Give the folder, or set PROMPT_STATS_JOURNAL_DIR",
        )
    if owner := other_owner(journal_dir):
        raise InputError(
            f"Sending the journal in {journal_dir}",
            f"it belongs to {owner}",
            f"Run it as {owner}, or give the folder and its files to the one user who runs the app and this",
        )
    open_current_database()
    damage = _rescued(journal_dir)
    with working("sending"), PromptTracker(journal_dir=journal_dir) as tracker:
        # As long as it gets on: a journal may hold millions.
        waiting = -1
        while not tracker.flush(LOOK_SECONDS) and waiting != (waiting := tracker.stats().waiting):
            pass
        stats = tracker.stats()
    unreadable = _unreadable_count(journal_dir)
    if as_json:
        sent = {"written": stats.written, "rejected": stats.rejected, "waiting": stats.waiting}
        print_json({**sent, "unreadable": unreadable, "damage": damage and asdict(damage)})
    else:
        console.print(f"{count(stats.written)} events sent, {count(stats.rejected)} rejected.")
    if damage:
        missing = "nobody knows how many" if damage.missing is None else f"at least {count(damage.missing)}"
        raise InputError(
            f"Sending the journal in {journal_dir}",
            f"it was damaged ({damage.reason}): {count(damage.read)} events could be read,"
            f" {missing} could not",
            f"The damaged file is kept as {damage.kept}; restart the apps that write to this journal",
        )
    if unreadable:
        raise InputError(
            f"Sending the journal in {journal_dir}",
            f"{count(unreadable)} entries are too long to be read",
            f"They are kept in the table unreadable of {journal_dir / FILE}: look at them and delete them",
        )
    if stats.waiting:
        raise DatabaseError(
            f"Sending the journal in {journal_dir}",
            f"{stats.waiting} events still wait",
            "See above why, or whether another process is sending them, and run it again",
        )


def _rescued(journal_dir: Path) -> Rescue | None:
    try:
        return rescue(journal_dir)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(journal_dir, error) from error


def _unreadable_count(journal_dir: Path) -> int:
    try:
        with closing(Journal(journal_dir, JOURNAL_BYTES)) as journal:
            return journal.unreadable_count()
    except (OSError, sqlite3.Error) as error:
        raise _unusable(journal_dir, error) from error


def _unusable(journal_dir: Path, error: Exception) -> InputError:
    return InputError(
        f"Sending the journal in {journal_dir}",
        readable(error),
        "Its files are left as they are; have them be regular files that you may read and write",
    )


def track_missing(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    grace_minutes: Annotated[
        int, typer.Option(min=0, help="Leave out posts younger than this: their events may be on the way.")
    ] = 60,
    as_json: AsJson = False,
) -> None:
    """Append an event for each post that was made from a prompt and has none, once."""
    from pipeline.maintenance import coverage

    look = coverage.look_for_missing if dry_run else coverage.track_missing
    with working("comparing posts with events"):
        report = look(open_installation(), dt.timedelta(minutes=grace_minutes))
    if as_json:
        print_json(asdict(report))
        return
    console.print(f"{count(report.missing)} of {count(report.posts)} posts from a prompt had no usage event.")
    if report.missing:
        console.print(f"The first was made {moment(report.first_at)}, the last {moment(report.last_at)}.")
    if not dry_run:
        console.print(f"{count(report.tracked)} events appended, {count(report.rejected)} rejected.")
