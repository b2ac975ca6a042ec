"""The places where an installation keeps its data."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pipeline.database.connections import Database
from pipeline.settings import Settings


@dataclass(frozen=True)
class Installation:
    """The places that every step of the pipeline works on.

    ``database``: the app's Postgres, with ``prompt_usage`` and the published stats. ``lake``: the root of the
    Delta tables, a folder or a URL such as ``s3://bucket/folder``. ``first_day``: the first day (UTC) that is
    counted; events before it are undated (``PROMPT_STATS_START_DATE``).
    """

    database: Database
    lake: str
    first_day: dt.date

    @classmethod
    def of(cls, settings: Settings, database: Database) -> Installation:
        """The installation that the settings name, with these connections."""
        return cls(database, settings.lake, settings.start_date)
