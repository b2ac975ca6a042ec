"""How many files and how long a log the lake has over a year of refreshes every five minutes.

``python -m tests.benchmarks.upkeep --days 365``

The two tables that every refresh writes, with the calls that a refresh makes: an append to today's raw
events, joined when there are too many; today's partials replaced; every night the quiet days compacted. In
the field the nightly job deletes what was replaced more than seven days ago. Here a day takes seconds, so
everything replaced is deleted every seventh night instead: the peak just before is what the field has.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import open_partials
from pipeline.lake.periods import QUIET_AFTER
from pipeline.lake.usage_events import FILES_PER_DAY, open_usage_events

TICKS_PER_DAY = 288
EVENTS_A_TICK = 30
FIRST_DAY = dt.date(2025, 1, 1)
REPORT_EVERY = 30


def rows(schema: pa.Schema, day: dt.date, tick: int) -> pa.Table:
    """A few rows of a day."""
    values = {"day": [day] * EVENTS_A_TICK, "ingest_xid": [tick] * EVENTS_A_TICK}
    columns = [pa.array(values.get(field.name, [None] * EVENTS_A_TICK), field.type) for field in schema]
    return pa.table(columns, schema=schema)


def keep(lake: Path, table: DailyTable, **days: int) -> None:
    """Sets for how many days a table remembers something: ``log``, ``deleted_file``."""
    names = {"log": "delta.logRetentionDuration", "deleted_file": "delta.deletedFileRetentionDuration"}
    properties = {names[name]: f"interval {length} days" for name, length in days.items()}
    DeltaTable(str(lake / table.name)).alter.set_table_properties(properties)


def measure(lake: Path, table: DailyTable) -> dict[str, float]:
    """What lies on disk."""
    folder = lake / table.name
    data = list(folder.glob("day=*/*.parquet"))
    live: list[int] = table.days()["files"].to_list()
    log = list((folder / "_delta_log").iterdir())
    return {
        "files": len(data),
        "live files": sum(live),
        "files of a day": max(live),
        "log entries": len(log),
        "log MB": sum(file.stat().st_size for file in log) / 1e6,
    }


def main() -> None:
    """Runs the simulation and prints a line a month, before and after the deletion."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args().days
    lake = Path(tempfile.mkdtemp(prefix="prompt-stats-upkeep-"))
    table = Table(
        "day",
        "table",
        "when",
        "files",
        "live files",
        "files of a day",
        "log entries",
        "log MB",
        "ms a commit",
    )
    try:
        for opened in (open_usage_events(str(lake)), open_partials(str(lake))):
            # Log entries live seven days in the field; here what is deletable goes with the files.
            keep(lake, opened, log=0)
        tick = 0
        for number in track(range(days), "days", console=Console(stderr=True)):
            day = FIRST_DAY + dt.timedelta(days=number)
            started = time.perf_counter()
            events, partials = open_usage_events(str(lake)), open_partials(str(lake))
            for _ in range(TICKS_PER_DAY):
                tick += 1
                events.append(rows(events.schema, day, tick))
                held = dict(events.days().select("day", "files").iter_rows())
                events.compact([day] if held[day] > FILES_PER_DAY else [])
                partials.replace([day], rows(partials.schema, day, tick))
            commit_ms = (time.perf_counter() - started) / TICKS_PER_DAY / 2 * 1000
            files = events.days().select("day", "files").iter_rows()
            events.compact([quiet for quiet, count in files if count > 1 and quiet <= day - QUIET_AFTER])
            if number % 7 != 6:
                continue
            is_shown = number // REPORT_EVERY != (number - 7) // REPORT_EVERY or number + 7 >= days
            for opened in (open_usage_events(str(lake)), open_partials(str(lake))):
                for when in ("before", "after"):
                    if when == "after":
                        opened.clean(dt.timedelta(0))
                        # What names them in each checkpoint goes too, by the next one.
                        keep(lake, opened, deleted_file=0)
                        DailyTable(str(lake), opened.name, opened.schema).clean(dt.timedelta(0))
                        keep(lake, opened, deleted_file=7)
                    if is_shown:
                        found = measure(lake, DailyTable(str(lake), opened.name, opened.schema))
                        figures = [
                            f"{value:.1f}" if name == "log MB" else str(value)
                            for name, value in found.items()
                        ]
                        table.add_row(str(number + 1), opened.name, when, *figures, f"{commit_ms:.1f}")
    finally:
        shutil.rmtree(lake, ignore_errors=True)
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
