"""Accepts settings that differ from those that the stats were made with, and reads again what they change."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pipeline.database.connections import Database
from pipeline.database.locks import Lock
from pipeline.errors import InputError
from pipeline.installation import Installation
from pipeline.lake import source
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.ownership import make_own
from pipeline.lake.partials import open_partials
from pipeline.lake.source_table import Remembered, forget_comparison, names_of_usage, recall
from pipeline.lake.usage_events import open_usage_events


@dataclass(frozen=True)
class Settings:
    """The settings that must not change: the first day, and the app's names of ``prompt_usage``."""

    first_day: dt.date
    table_names: str


@dataclass(frozen=True)
class AcceptanceReport:
    """The settings of the stats ``before`` and from now on. ``before`` is None before the first refresh."""

    before: Settings | None
    after: Settings


def compare_settings(database: Database, first_day: dt.date) -> AcceptanceReport:
    """Reports what :func:`accept_settings` would change, without changing it."""
    with database.engine.connect() as connection:
        return _report(database, recall(connection), first_day)


def accept_settings(installation: Installation) -> AcceptanceReport:
    """Makes these settings the valid ones. The stats stay until the next refresh.

    It may be repeated after a crash. Until it has finished, the previous settings are valid.

    :raises LakeOwnerError: the lake is another database's.
    :raises InputError: the lake alone has days that would have to be divided or joined.
    :raises LakeError: the lake can't be written.
    """
    database, first_day = installation.database, installation.first_day
    # Nobody publishes or syncs meanwhile, with whichever settings.
    with database.locked(Lock.PUBLISH), database.locked(Lock.LAKE):
        with database.engine.connect() as connection:
            report = _report(database, recall(connection), first_day)
            expired = source.expired_days(connection)
        if report.before is None or report.before == report.after:
            return report
        moved_until = max(first_day, report.before.first_day)
        in_the_way = sorted(day for day in expired if day <= moved_until)
        if report.before.first_day != first_day and in_the_way:
            raise InputError(
                f"Moving the first day from {report.before.first_day} to {first_day}",
                f"retention removed the raw rows of {len(in_the_way)} days from {in_the_way[0]} to"
                f" {moved_until}, and the lake has them by the previous days",
                f"Keep PROMPT_STATS_START_DATE={report.before.first_day}",
            )
        events = open_usage_events(installation.lake)
        make_own(database, events)
        for table in (events, open_partials(installation.lake)):
            _empty_before(table, first_day)
        with database.engine.begin() as connection:
            forget_comparison(connection, first_day, database.names)
        return report


def _empty_before(table: DailyTable, first_day: dt.date) -> None:
    early = [day for day in table.days()["day"] if day < first_day]
    if early:
        table.replace(early, table.schema.empty_table())


def _report(database: Database, remembered: Remembered | None, first_day: dt.date) -> AcceptanceReport:
    return AcceptanceReport(
        Settings(remembered.first_day, remembered.table_names) if remembered else None,
        Settings(first_day, names_of_usage(database.names)),
    )
