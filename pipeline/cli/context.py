"""What the commands share: where the data is, and where answers go."""

from __future__ import annotations

import datetime as dt
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.status import Status

from pipeline.database import Database
from pipeline.schema import require_current
from pipeline.settings import settings

console = Console()
"""Answers, on standard output."""

messages = Console(stderr=True)
"""Progress and errors, on standard error, so that an answer can be piped."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def open_database() -> Database:
    """The database that the environment names, whatever its schema."""
    return Database.from_settings(settings())


def open_current_database() -> Database:
    """The database that the environment names, with the schema of this version.

    :raises DatabaseError: the schema is missing or of another version.
    """
    database = open_database()
    require_current(database)
    return database


def print_json(answer: Any) -> None:
    """Prints an answer as JSON: times as ISO 8601, ids as text."""
    console.print_json(json.dumps(answer, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


@contextmanager
def working(what: str) -> Iterator[Status]:
    """Shows that long work goes on; what the package's loggers say meanwhile stands beside it."""
    with messages.status(what) as status:
        handler = _StatusHandler(status, what)
        logger = logging.getLogger("pipeline")
        level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        try:
            yield status
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


@contextmanager
def progress_bar(what: str, *, visible: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; the function that it hands out takes what is done and the total."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not (visible and messages.is_terminal)
    with Progress(*columns, console=messages, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _StatusHandler(logging.Handler):
    def __init__(self, status: Status, what: str) -> None:
        super().__init__(logging.INFO)
        self._status = status
        self._what = what

    def emit(self, record: logging.LogRecord) -> None:
        self._status.update(f"{self._what} [dim]{record.getMessage()}[/dim]")
