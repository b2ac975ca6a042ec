"""``rejected``, ``send-journal``, ``track-missing``: events that have not reached ``prompt_usage``."""

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
"""If no batch gets through for this long, the command gives up."""

rejected_app = typer.Typer(
    help="List, replay or discard rejected events.",
    no_args_is_help=True,
    add_completion=False,
)

Ids = Annotated[list[int] | None, typer.Argument(help="Ids of rejected events, as rejected list shows them.")]
Everything = Annotated[bool, typer.Option("--all", help="Take all rejected events.")]


@rejected_app.command("list")
def list_rejected(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show, the latest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show how many events were rejected and why, and the latest of them."""
    found = rejected.rejections(open_current_database(), limit)
    print_json(asdict(found)) if as_json else console.print(render.rejections(found))


@rejected_app.command("replay")
def replay_rejected(ids: Ids = None, *, everything: Everything = False, as_json: AsJson = False) -> None:
    """Track rejected events again with their own time and id, for example after adding their prompt."""
    wanted = _wanted(ids, everything=everything)
    report = rejected.replay(open_current_database(), wanted)
    if as_json:
        print_json(asdict(report))
    else:
        console.print(f"{count(report.taken)} events accepted, {count(report.rejected)} rejected again.")
    _require(wanted, report.taken + report.rejected)


@rejected_app.command("discard")
def discard_rejected(
    ids: Ids = None,
    *,
    everything: Everything = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation of --all.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete rejected events for good."""
    wanted, database = _wanted(ids, everything=everything), open_current_database()
    if everything:
        confirm("This deletes all rejected events for good.", yes=yes)
    discarded = rejected.discard(database, wanted)
    words = f"{count(discarded)} events discarded."
    print_json({"discarded": discarded}) if as_json else console.print(words)
    _require(wanted, discarded)


def _require(ids: list[int] | None, found: int) -> None:
    """Makes sure that each id belonged to a rejected event."""
    missing = len({*(ids or ())}) - found
    if ids and missing:
        raise NotFoundError(
            "Choosing rejected events",
            f"{missing} of the given ids belong to no rejected event, or another process is handling them;"
            " all others are done",
            "See the ids that there are with prompt-stats rejected list",
        )


def _wanted(ids: list[int] | None, *, everything: bool) -> list[int] | None:
    if bool(ids) == everything:
        raise InputError(
            "Choosing rejected events",
            "both ids and --all are given" if ids else "neither ids nor --all are given",
            "Give the ids that prompt-stats rejected list shows, or --all",
        )
    return ids or None


def send_journal(
    folder: Annotated[
        Path | None, typer.Argument(help="The journal's folder. By default PROMPT_STATS_JOURNAL_DIR.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Send the events that a tracker left in its journal, once its app is gone."""
    journal_dir = folder or settings().journal_dir
    if journal_dir is None or not journal_dir.is_dir():
        raise InputError(
            "Sending a journal",
            f"{journal_dir} is not a folder" if journal_dir else "no folder is given",
            "Give the folder, or set PROMPT_STATS_JOURNAL_DIR",
        )
    if owner := other_owner(journal_dir):
        raise InputError(
            f"Sending the journal in {journal_dir}",
            f"it belongs to {owner}",
            f"Run it as {owner}, or run the app and this command as one user and give that user the folder",
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
        missing = "an unknown number" if damage.missing is None else f"at least {count(damage.missing)}"
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
            f"They are kept in the table unreadable of {journal_dir / FILE}; look at them, then delete them",
        )
    if stats.waiting:
        raise DatabaseError(
            f"Sending the journal in {journal_dir}",
            f"{stats.waiting} events are still waiting",
            "See the messages above, or another process that sends this journal, and run the command again",
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
        "Its files are left as they are. Make sure that they are regular files which you may read and write",
    )


def track_missing(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the posts.")] = False,
    grace_minutes: Annotated[
        int, typer.Option(min=0, help="Leave out posts younger than this, whose events may still arrive.")
    ] = 60,
    as_json: AsJson = False,
) -> None:
    """Append an event for each post that was made from a prompt and has none."""
    from pipeline.maintenance import coverage

    look = coverage.look_for_missing if dry_run else coverage.track_missing
    with working("comparing posts with events"):
        report = look(open_installation(), dt.timedelta(minutes=grace_minutes))
    if as_json:
        print_json(asdict(report))
        return
    console.print(f"{count(report.missing)} of {count(report.posts)} posts from a prompt had no usage event.")
    if report.missing:
        console.print(f"The first is from {moment(report.first_at)}, the last from {moment(report.last_at)}.")
    if not dry_run:
        console.print(f"{count(report.tracked)} events appended, {count(report.rejected)} rejected.")
