"""The application, and the place where errors become texts and exit codes.

The exit code is 0 if the command did what was asked, and 1 if it could not. It is 2 if the command line can't
be read, or if a command asks for confirmation without a terminal.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Annotated

import typer

from pipeline.cli import catalog
from pipeline.errors import SettingsError
from pipeline.files import keep_private

app = typer.Typer(
    name="prompt-stats",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:  # noqa: FBT001  # typer calls it
    if is_asked:
        from importlib import metadata

        from pipeline.cli.terminal import Terminal

        console = Terminal()
        console.print(metadata.version("prompt-stats"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Usage statistics of prompt templates that equal a recount of the raw events."""
    # These imports take a second, so they happen only when a command is called.
    from pipeline.cli.context import opened

    context.with_resource(opened)
    _log_as_set()


catalog.add_to(app)


def run() -> None:
    """The entry point of the command ``prompt-stats``."""
    keep_private()
    try:
        app()
    except Exception as error:
        from pipeline.cli.failures import complain

        complain(error)
    sys.exit(1)


def _log_as_set() -> None:
    from pipeline.cli.terminal import LogLines
    from pipeline.settings import LogFormat, settings

    if logging.lastResort:
        logging.lastResort.setFormatter(LogLines())
    # The command reports a fault of the environment: doctor makes a line of it.
    with suppress(SettingsError):
        if settings().log_format is LogFormat.JSON:
            from pipeline.logs import write_json

            write_json()
