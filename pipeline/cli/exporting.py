"""``export``: a whole table as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from pipeline.answers.export import TABLES, Format
from pipeline.answers.period_export import TABLES as TABLES_OF_DAYS
from pipeline.answers.period_export import opened_export
from pipeline.cli import render
from pipeline.cli.context import messages, open_installation, progress_bar
from pipeline.cli.days import Days, First, Last, TimeZone, asked_for
from pipeline.errors import InputError
from pipeline.files import replaced
from pipeline.formats import count

OF_ALL_DAYS = [name for name in TABLES if name not in TABLES_OF_DAYS]


def export(
    table: Annotated[
        str,
        typer.Argument(help=f"One of {', '.join(TABLES)}. Of some days: all but {', '.join(OF_ALL_DAYS)}."),
    ],
    *,
    kind: Annotated[
        Format | None, typer.Option("--format", help="By default what --output ends with, else csv.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; by default standard output.")
    ] = None,
    first: First = None,
    last: Last = None,
    days: Days = None,
    timezone: TimeZone = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Of CSV: no ' before texts that a spreadsheet may take for a formula."),
    ] = False,
) -> None:
    """Write a stats table, or the prompts, to a file: Parquet, CSV or JSON, of one moment or some days."""
    kind = kind or _format_of(output)
    to_terminal = output is None and sys.stdout.isatty()
    if to_terminal and kind is Format.PARQUET:
        raise InputError(
            f"Exporting {table} to the terminal",
            "Parquet is not for reading",
            "Name a file with --output, pipe it to a program, or take another --format",
        )
    with (
        opened_export(
            open_installation(),
            table,
            kind,
            asked_for(first, last, days, timezone),
            raw=raw,
        ) as found,
        _written(output) as file,
        progress_bar(f"exporting {table}", visible=not to_terminal) as advance,
    ):
        done = 0
        for content, rows in found.chunks:
            file.write(content)
            advance(done := done + rows, found.row_count)
    # Standard output is the table's.
    age = render.age({"as_of": found.as_of, "lag_seconds": found.lag_seconds})
    messages.print(f"{count(done)} rows of {table}, {age}", soft_wrap=True)


def _format_of(output: Path | None) -> Format:
    """What the name ends with; CSV where it says nothing.

    :raises InputError: it ends with something else.
    """
    ending = output.suffix.lstrip(".").lower() if output else ""
    if ending and ending not in [*Format]:
        raise InputError(
            f"Exporting to {output}",
            f"what ends with .{ending} is none of {', '.join(Format)}",
            "Name the file otherwise, or say --format",
        )
    return Format(ending) if ending else Format.CSV


@contextmanager
def _written(output: Path | None) -> Iterator[BinaryIO]:
    """What to write to. A file is there once it is whole, under another name before, and not at all else.

    :raises InputError: it can't be written.
    """
    try:
        if output is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif output.exists() and not output.is_file():
            # A pipe or a device; a folder is an error.
            with output.open("wb") as file:
                yield file
        else:
            with replaced(output.resolve()) as file:
                yield file
    except BrokenPipeError:
        # Who reads has what was wanted: head, say. The command line ends with 1, and quietly.
        raise
    except OSError as error:
        raise InputError(
            f"Writing {output or 'to standard output'}",
            (error.strerror or str(error)).lower(),
            "Make room for it, or name another file with --output",
        ) from error
