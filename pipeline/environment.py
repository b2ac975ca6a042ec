"""The variables that a tracker reads.

An app installs the tracker alone, without the library that reads all the others. What a variable means is
said in :class:`pipeline.settings.Settings`, and both read it alike.
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
    """What the environment says to a tracker: fields of :class:`pipeline.settings.Settings`."""

    database_url: str | None
    tables: TableNames
    home: Path
    journal_dir: Path | None


def environment() -> Environment:
    """What the variables say now.

    :raises SettingsError: ``PROMPT_STATS_TABLES`` can't be read.
    """
    # As pydantic reads them: whatever the case, and an empty one as if it were not set.
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
    """A folder as a variable means it, wherever the process goes later."""
    return Path(folder).expanduser().absolute()
