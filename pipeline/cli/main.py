"""The application, and the edge where errors become texts and exit codes.

Exit codes: 0 it did what was asked, 1 it could not, 2 the command line can't be read, or
nobody is there to be asked.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import closing, suppress
from importlib import metadata
from typing import Annotated

import psycopg
import typer
from sqlalchemy.exc import DBAPIError

from pipeline.cli import alerting, checking, events, exporting, keeping, reading, serving, tour, writing
from pipeline.cli.context import console, messages, opened
from pipeline.cli.terminal import LogLines
from pipeline.database import Fault, cause_of, fault_of
from pipeline.errors import PromptStatsError, SettingsError, readable
from pipeline.files import keep_private
from pipeline.redaction import redacted
from pipeline.settings import LogFormat, settings

logger = logging.getLogger(__name__)

app = typer.Typer(
    name="prompt-stats",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:  # noqa: FBT001  # typer calls it
    if is_asked:
        console.print(metadata.version("prompt-stats"))
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Usage statistics of prompt templates that equal a recount of the raw events."""


for command in (
    tour.demo,
    writing.migrate,
    writing.seed_prompts,
    writing.simulate,
    writing.refresh,
    writing.backfill,
    keeping.reconcile,
    keeping.accept_settings,
    keeping.keep_up,
    keeping.claim_lake,
    keeping.retain,
    keeping.erase_user,
    reading.status,
    checking.check,
    checking.doctor,
    reading.top,
    reading.show,
    reading.drift,
    alerting.alerts,
    exporting.export,
    reading.report,
    events.send_journal,
    events.track_missing,
    serving.serve,
    tour.ui,
):
    app.command()(command)
app.add_typer(events.rejected_app, name="rejected")
# What follows the program's name is the program's.
app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(
    tour.execute
)


def run() -> None:
    """The entry point of the command ``prompt-stats``."""
    keep_private()
    try:
        with opened:
            _log_as_set()
            app()
    except PromptStatsError as error:
        _complain(str(error))
    except (DBAPIError, psycopg.Error) as error:
        _complain(f"Talking to the database: {readable(cause_of(error))}. {_remedy(error)}.")
    except Exception:
        # A fault of ours, with all its calls; what engines say there may repeat an address.
        _complain(redacted(traceback.format_exc()))
    sys.exit(1)


def _remedy(error: Exception) -> str:
    fault = fault_of(error)
    if fault is Fault.RIGHT:
        # The doctor's libraries take a moment to import.
        from pipeline.doctor.rights import lacking
        from pipeline.doctor.setup import Setup

        with suppress(PromptStatsError, DBAPIError, psycopg.Error), closing(Setup()) as setup:
            return lacking(setup, str(cause_of(error))) or fault.value
    return fault.value


def _log_as_set() -> None:
    if logging.lastResort:
        logging.lastResort.setFormatter(LogLines())
    # A fault of the environment is for the command to tell: doctor makes a line of it.
    with suppress(SettingsError):
        if settings().log_format is LogFormat.JSON:
            from pipeline.logs import write_json

            write_json()


def _complain(text: str) -> None:
    if logging.getLogger().handlers:
        logger.error(text)
        return
    messages.print(text, style="red", soft_wrap=True)
