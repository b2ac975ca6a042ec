"""What the benchmark says: tables in Markdown, the same as JSON, and which machine it was."""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import psutil
import psycopg

from tests.benchmarks.server import SETTINGS
from tests.command import REPOSITORY

PACKAGES = ("duckdb", "polars", "deltalake", "pyarrow", "adbc-driver-postgresql", "psycopg", "sqlalchemy")

Cell = str | int | float | None


@dataclass
class Table:
    """One part's figures. A cell of None is one that was not measured."""

    title: str
    aim: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as people read it."""
        texts = [self.columns, *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in texts) for column in range(len(self.columns))]
        lines = [_line(row, widths) for row in texts]
        lines.insert(1, "|-" + "-|-".join("-" * width for width in widths) + "-|")
        return "\n".join([f"## {self.title}", f"Aim: {self.aim}.", "", *lines, "", *self.notes])

    def json(self) -> dict[str, object]:
        """The table as programs read it: figures as they were measured."""
        return asdict(self)


def at_most(limit: float, figure: float) -> str:
    """The aim of a figure that is better the smaller it is, and whether it is met."""
    return f"≤ {limit:g}: {'met' if figure <= limit else 'MISSED'}"


def at_least(limit: float, figure: float) -> str:
    """The aim of a figure that is better the larger it is, and whether it is met."""
    return f"≥ {limit:g}: {'met' if figure >= limit else 'MISSED'}"


def size_name(events: int) -> str:
    """A number of events as a column says it."""
    return f"{events / 1e6:g} M"


def machine(url: str) -> dict[str, str]:
    """Where the figures come from."""
    with psycopg.connect(url) as connection:
        server = connection.info.parameter_status("server_version")
        names = list(SETTINGS)
        settings = connection.execute(
            "SELECT name || ' = ' || current_setting(name) FROM unnest(%s::text[]) AS name", (names,)
        ).fetchall()
    processor = Path("/proc/cpuinfo")
    models = (
        [line for line in processor.read_text().splitlines() if "model name" in line]
        if (processor.exists())
        else []
    )
    return {
        "begun": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": f"{os.cpu_count()}, {models[0].split(':')[1].strip() if models else platform.processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgres": f"{server}, {', '.join(setting for (setting,) in settings)}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def _commit() -> str:
    git = shutil.which("git")
    if not git:
        return "unknown"

    def said(*arguments: str) -> str:
        done = subprocess.run([git, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = said("status", "--porcelain", "pipeline", "sql")
    return said("rev-parse", "--short", "HEAD") + (" with changes in pipeline or sql" if changed else "")


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.{3 if cell < 1 else 2 if cell < 10 else 1 if cell < 100 else 0}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join([first, *others])} |"
