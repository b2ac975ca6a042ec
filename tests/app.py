"""Where a test has its data."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.database.connections import Database
from pipeline.installation import Installation
from tests.conftest import FIRST_DAY


def at(database: Database, lake: str | Path, first_day: dt.date = FIRST_DAY) -> Installation:
    """The installation of this database and lake."""
    return Installation(database, str(lake), first_day)
