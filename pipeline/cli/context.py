"""What the commands share: opening the database, asking for confirmation, printing, progress."""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
import os
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeRemainingColumn

from pipeline.adoption.schema import require_current
from pipeline.cli.terminal import Said, Spinner, Terminal, literal
from pipeline.database.connections import Database
from pipeline.installation import Installation
from pipeline.lake.flow import SAY_EVERY_SECONDS, OnProgress, now_and_then
from pipeline.settings import settings

console = Terminal()
"""Answers, on standard output."""

messages = Terminal(stderr=True)
"""Progress and errors, on standard error, so that an answer can be piped."""

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


opened = ExitStack()
"""Closes what a command opened, when the command ends."""


def open_database() -> Database:
    """The database that the environment names, whatever the version of its schema."""
    database = Database.from_settings(settings())
    opened.callback(database.close)
    return database


def open_current_database() -> Database:
    """The database that the environment names, with the schema of this version.

    :raises DatabaseError: the schema is missing or of another version.
    """
    database = open_database()
    require_current(database)
    return database


def open_installation() -> Installation:
    """The installation that the environment names, with the schema of this version.

    :raises DatabaseError: the schema is missing or of another version.
    """
    return Installation.of(settings(), open_current_database())


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something that can't be undone. ``yes`` means that the answer was given already.

    :raises typer.Exit: with 2, there is no terminal to ask on.
    :raises typer.Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        messages.print(
            f"{question} There is no terminal to ask for confirmation, so nothing was done. Pass --yes.",
            style="red",
            soft_wrap=True,
        )
        raise typer.Exit(2)
    messages.print(question, soft_wrap=True)
    typer.confirm("Continue?", abort=True, err=True)


def print_json(answer: Any) -> None:
    """Prints an answer as JSON: times as ISO 8601, ids as text."""
    console.print_plain_json(json.dumps(answer, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: object) -> object:
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, uuid.UUID | Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


@contextmanager
def working(what: str) -> Iterator[Spinner]:
    """Shows a spinner while work goes on, with what the package's loggers say beside it.

    Warnings stay on the screen.
    """
    with (
        Spinner(what, messages) as spinner,
        _forwarding_logs(
            lambda said: spinner.update(literal(f"{what} ", (said, "dim"))),
            lambda warning: messages.print(warning, soft_wrap=True),
        ),
    ):
        yield spinner


@contextmanager
def refreshing(what: str) -> Iterator[OnProgress]:
    """Shows a progress bar of the events that are read, with what the package's loggers say below it.

    Pass the progress to the callback that it yields. Without a terminal it prints a line every few seconds,
    unless a log is written.
    """
    with _screen() as screen:
        if not screen.is_terminal:
            every_seconds = math.inf if logging.getLogger().handlers else SAY_EVERY_SECONDS
            yield now_and_then(
                lambda progress: screen.print(f"{what}: {progress}", soft_wrap=True),
                every_seconds,
            )
            return
        columns = (SpinnerColumn(), BarColumn(bar_width=16), Said())
        with Progress(*columns, console=screen, transient=True) as bar:
            task = bar.add_task(what, total=None, said="")
            with _forwarding_logs(lambda said: bar.update(task, said=said)):
                yield lambda progress: bar.update(
                    task, completed=progress.done, total=progress.total, said=str(progress)
                )


@contextmanager
def _screen() -> Iterator[Terminal]:
    """Where messages go, even while Dagster captures what its steps write to standard error."""
    try:
        descriptor = os.dup(messages.file.fileno())
    except OSError:
        # No file: a test's, or nothing at all.
        yield messages
        return
    with os.fdopen(descriptor, "w", encoding=messages.encoding, errors="replace") as file:
        yield Terminal(file)


@contextmanager
def progress_bar(what: str, *, visible: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar. The function that it yields takes the number done and the total."""
    columns = (Said(), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not (visible and messages.is_terminal)
    with Progress(*columns, console=messages, transient=True, disable=hidden) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _forwarding_logs(
    on_message: Callable[[str], None], on_warning: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Passes each message of the package's loggers to ``on_message``, shortened to one line.

    Warnings also go to ``on_warning`` in full, unless a log is written, which has them.
    """
    handler = _Handler(on_message, None if logging.getLogger().handlers else on_warning)
    logger = logging.getLogger("pipeline")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Handler(logging.Handler):
    def __init__(self, on_message: Callable[[str], None], on_warning: Callable[[str], None] | None) -> None:
        super().__init__(logging.INFO)
        self._on_message = on_message
        self._on_warning = on_warning

    def emit(self, record: logging.LogRecord) -> None:
        if self._on_warning and record.levelno >= logging.WARNING:
            self._on_warning(record.getMessage())
        self._on_message(textwrap.shorten(record.getMessage(), 60, placeholder=" …"))
