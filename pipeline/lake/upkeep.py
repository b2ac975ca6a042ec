"""Keeps the lake small: few files per day, no files that nobody reads, a short log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyarrow import fs

from pipeline.database.locks import Lock
from pipeline.installation import Installation
from pipeline.lake import damage, source
from pipeline.lake.delta_table import KEPT, DailyTable
from pipeline.lake.isolation import run_isolated
from pipeline.lake.ownership import make_own
from pipeline.lake.partials import USAGE, USERS, open_partials
from pipeline.lake.periods import QUIET_AFTER, open_periods
from pipeline.lake.storage import file_system
from pipeline.lake.usage_events import open_own_events, open_usage_events

FORMER_TABLES = ("prompt_user_daily",)
"""Tables of older versions: nobody would take an erased person out of them."""


@dataclass(frozen=True)
class UpkeepReport:
    """``files_joined``: small files that became few; ``files_deleted``: files that no state names."""

    files_joined: int
    files_deleted: int


def lake_tables(lake: str) -> Iterator[DailyTable]:
    """Opens the latest state of every table of the lake."""
    yield open_usage_events(lake)
    yield from derived_tables(lake)


def derived_tables(lake: str) -> Iterator[DailyTable]:
    """The tables that are made from the raw events."""
    yield open_partials(lake)
    for rollup in (USAGE, USERS):
        yield from open_periods(lake, rollup)


def damage_of(
    lake: str, expired: Mapping[dt.date, source.ExpiredDay], look: damage.Look = damage.ends_of_files
) -> list[damage.Damaged]:
    """What of all tables of the lake is damaged.

    :raises LakeError: the lake can't be listed.
    """
    return damage.find_damage(open_usage_events(lake), derived_tables(lake), expired, look)


def compact(installation: Installation) -> int:
    """Joins the appends of each quiet day into one file, and returns how many files were replaced.

    The compacted days count as changed, and the next refresh rolls them up again. Days that can't be read are
    recorded (``pipeline.lake.damage``).

    :raises LakeConflictError: somebody wrote to the lake meanwhile; nothing was written.
    """
    database = installation.database
    with database.locked(Lock.LAKE):
        table = open_usage_events(installation.lake)
        make_own(database, table)
        quiet_until = dt.datetime.now(dt.UTC).date() - QUIET_AFTER
        days = [
            day
            for day, files in table.days().select("day", "files").iter_rows()
            if files > 1 and day <= quiet_until
        ]
        joined = 0

        def join(part: list[dt.date]) -> None:
            nonlocal joined
            joined += table.compact(part)

        damage.note_unreadable(database, table.damaged_days(run_isolated([days], join)))
        return joined


def clean(installation: Installation, kept: dt.timedelta = KEPT) -> int:
    """Deletes files that no state of the last ``kept`` names, and former tables. Returns the number of files.

    Nobody writes or publishes meanwhile. Readers of states older than ``kept`` will miss files.
    """
    with installation.database.locked(Lock.STATS), installation.database.locked(Lock.LAKE):
        open_own_events(installation)
        return sum(table.clean(kept) for table in lake_tables(installation.lake)) + _forget_former_tables(
            installation.lake
        )


def _forget_former_tables(lake: str) -> int:
    filesystem, root = file_system(lake)
    files = 0
    for name in FORMER_TABLES:
        folder = fs.FileSelector(f"{root}/{name}", recursive=True, allow_not_found=True)
        found = [info for info in filesystem.get_file_info(folder) if info.type == fs.FileType.File]
        if found:
            filesystem.delete_dir(folder.base_dir)
            files += sum(info.extension == "parquet" for info in found)
    return files


def keep_up(installation: Installation) -> UpkeepReport:
    """Compacts and cleans."""
    return UpkeepReport(compact(installation), clean(installation))
