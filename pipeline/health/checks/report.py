"""What a check is, what it reports, and how it reads Postgres."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import polars as pl
from sqlalchemy import Connection, TextClause, text

from pipeline import formats
from pipeline.installation import Installation
from pipeline.publish.copy import frame_of

LONGEST_QUERY = dt.timedelta(minutes=5)
"""A check's query is cancelled after this time, so that no check delays the refreshes for long."""

WORST = 10
"""The largest number of worst offenders in a report."""

MOMENT = pl.Datetime("us", "UTC")


class Severity(StrEnum):
    """What a failed check means: something to look at, or numbers that are wrong or soon will be."""

    WARN = "WARN"
    ERROR = "ERROR"


class Cadence(StrEnum):
    """How often a check is made: what reads ledgers and recent rows hourly, what reads history nightly."""

    HOURLY = "hourly"
    NIGHTLY = "nightly"


@dataclass(frozen=True)
class Report:
    """What a check found.

    ``summary``: one sentence. ``figures``: numbers, texts, times and dates by name. ``worst``: the worst
    offenders as rows with the same columns, the worst first, at most :data:`WORST`.
    """

    passed: bool
    summary: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    worst: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Check:
    """One check. ``asset``: the table that it is about; ``compares`` and ``remedy`` are sentences."""

    name: str
    asset: str
    severity: Severity
    cadence: Cadence
    compares: str
    remedy: str
    make: Callable[[Installation], Report]


def rows(
    installation: Installation,
    statement: TextClause,
    schema: Mapping[str, Any],
    parameters: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """The rows of a query, with ids as text, as :func:`reading` sees them."""
    with reading(installation) as connection:
        return frame_of(connection.execute(statement, parameters or {}), schema)


@contextmanager
def reading(installation: Installation) -> Iterator[Connection]:
    """A consistent, read-only state of the database for some queries with a time limit.

    If row level security would hide rows, that is an error: a check that sees fewer rows would miss faults.
    """
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with (
        installation.database.engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        connection.execute(
            text("SELECT set_config('statement_timeout', :limit, true)"),
            {"limit": f"{LONGEST_QUERY.total_seconds():.0f}s"},
        )
        yield connection


def plural(number: int, noun: str) -> str:
    """``1 event``, ``2,000 events``."""
    return f"{formats.count(number)} {noun}{'' if number == 1 else 's'}"
