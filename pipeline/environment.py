"""The variables that a tracker reads.

An app that installs only the tracker does not have the library that reads all others.
:class:`pipeline.settings.Settings` describes the variables, and both modules read them in the same way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.names import DEFAULT_NAMES, TableNames

DEFAULT_HOME = ".prompt-stats"


@dataclass(frozen=True)
class Environment:
    """A tracker's settings: fields of :class:`pipeline.settings.Settings`."""

    database_url: str | None
    tables: TableNames
    home: Path
    journal_dir: Path | None


def environment() -> Environment:
    """The current settings.

    :raises SettingsError: ``PROMPT_STATS_TABLES`` can't be read.
    """
    # As pydantic reads them: in any case, and an empty one counts as unset.
    given = {name.upper(): value for name, value in os.environ.items() if value}
    names = given.get("PROMPT_STATS_TABLES")
    try:
        tables = TableNames.parse(names) if names else DEFAULT_NAMES
    except ValueError as error:
        raise SettingsError(
            "Reading the environment",
            f"PROMPT_STATS_TABLES is {names!r}, but {error}",
            "Set PROMPT_STATS_TABLES to a valid value or unset it",
        ) from None
    journal_dir = given.get("PROMPT_STATS_JOURNAL_DIR")
    return Environment(
        given.get("DATABASE_URL"),
        tables,
        absolute(given.get("PROMPT_STATS_HOME", DEFAULT_HOME)),
        absolute(journal_dir) if journal_dir else None,
    )


def absolute(folder: Path | str) -> Path:
    """A folder's absolute path, which stays right if the process changes its directory."""
    return Path(folder).expanduser().absolute()
