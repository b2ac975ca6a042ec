"""The steps of a refresh that read the lake, each with a retry after unreadable files were rebuilt.

A damaged file is noticed when it is read. Raw events are then read again from Postgres, and partials are
computed again from raw events. Postgres has no raw events of an expired day, so such a day is recorded
(``pipeline.lake.damage``), and the step fails if it needs the day.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from pipeline.database.locks import Lock
from pipeline.errors import LakeConflictError, LakeError
from pipeline.installation import Installation
from pipeline.lake import damage, periods
from pipeline.lake.partials import USAGE, USERS, Rollup, RollupReport, roll_up_days
from pipeline.lake.upkeep import derived_tables
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.publish.publish import PublishReport, publish
from pipeline.publish.values import ValuesReport, publish_values

logger = logging.getLogger(__name__)

T = TypeVar("T")


def roll_up(
    installation: Installation,
    days: Collection[dt.date] | None = None,
) -> RollupReport:
    """Calls ``roll_up_days``. A day whose raw events can't be read is read again from Postgres first."""
    report = roll_up_days(installation, days)
    failed = {day: why for day, why in report.failed.items() if not damage.is_lost(why)}
    if not failed:
        return report
    noted = read_again(installation, failed)
    again = roll_up_days(installation, failed)
    still = {day: noted.get(day, why) for day, why in again.failed.items()}
    return RollupReport(
        sorted({*report.days, *again.days}),
        report.rows + again.rows,
        report.events + again.events,
        {day: why for day, why in report.failed.items() if day not in failed} | still,
        report.repaired | {day: why for day, why in noted.items() if day not in still},
        again.held,
    )


def settled(installation: Installation, rollup: Rollup) -> list[dt.date]:
    """Calls ``settle``, with a retry after a repair."""
    return _repaired(installation, lambda: periods.settle(installation, rollup))


def published(installation: Installation, run_id: str | None = None, *, users: bool = True) -> PublishReport:
    """Calls ``publish``, with a retry after a repair."""
    return _repaired(installation, lambda: publish(installation, run_id, users=users))


def values_published(installation: Installation) -> ValuesReport:
    """Calls ``publish_values``, with a retry after a repair."""
    return _repaired(installation, lambda: publish_values(installation))


def read_again(installation: Installation, days: Collection[dt.date] | None = None) -> dict[dt.date, str]:
    """Reads the raw events that the lake can't return again from Postgres, for some days or for all.

    Returns what was wrong with each day. It does not verify that reading them works now.
    """
    with installation.database.locked(Lock.LAKE):
        unreadable = open_usage_events(installation.lake).damaged_days(days)
    noted = damage.note_unreadable(installation.database, unreadable)
    wanted = [day for day, why in noted.items() if not damage.is_lost(why)]
    if wanted:
        sync_days(installation, wanted, replace=True)
    return noted


def _repaired(installation: Installation, work: Callable[[], T]) -> T:
    """Does the work. If it fails because of a file, rebuilds the file and tries once more.

    :raises LakeError: nothing could be rebuilt, or that did not help.
    """
    try:
        return work()
    except LakeConflictError:
        raise
    except LakeError:
        lost = _make_anew(installation)
        if lost is None:
            raise
    try:
        return work()
    except LakeError as error:
        if not lost:
            raise
        day, why = min(lost.items())
        wrong = f"{len(lost)} days can't be read, the first of them {day}: {why}"
        raise LakeError(error.attempted, wrong, "The published stats stay as they were") from error


def _make_anew(installation: Installation) -> dict[dt.date, str] | None:
    """Rebuilds everything that can't be read. Returns the lost days, or None if everything can be read."""
    noted = read_again(installation)
    found: dict[str, Any] = {}
    with installation.database.locked(Lock.LAKE):
        for table in derived_tables(installation.lake):
            if broken := table.damaged_days():
                for why in broken.values():
                    logger.warning("%s; it is rebuilt", why)
                table.replace(broken, table.schema.empty_table())
                found[table.name] = broken
    if not (noted or found):
        return None
    roll_up_days(installation)
    for rollup in (USAGE, USERS):
        periods.settle(installation, rollup)
    return {day: why for day, why in noted.items() if damage.is_lost(why)}
