"""The lines of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The result: as it should be, worth a look, an obstacle, or unknown."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNCHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """One line: ``name`` is what was examined, ``summary`` what was found, ``remedy`` what to do about it.

    Both are sentences without a full stop. Without a remedy, there is nothing to do.
    """

    name: str
    status: Status
    summary: str
    remedy: str | None = None


def ok(name: str, summary: str) -> Finding:
    """As it should be."""
    return Finding(name, Status.OK, summary)


def warning(name: str, summary: str, remedy: str) -> Finding:
    """It works, but somebody should know about it."""
    return Finding(name, Status.WARNING, summary, remedy)


def wrong(name: str, summary: str, remedy: str) -> Finding:
    """It does not work, or not for long."""
    return Finding(name, Status.WRONG, summary, remedy)


def unchecked(name: str, first: str) -> Finding:
    """It was not checked, because something else has to be fixed first."""
    return Finding(name, Status.UNCHECKED, f"{first} has to be fixed first")
