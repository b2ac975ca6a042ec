"""The lake's raw events as the pipeline opens them to write: the database knows each commit."""

from __future__ import annotations

from pipeline.database.connections import Database
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.ownership import make_own
from pipeline.lake.usage_events import open_usage_events


def open_to_write(database: Database, lake: str) -> DailyTable:
    """The table, at its latest state."""
    table = open_usage_events(lake)
    make_own(database, table)
    return table
