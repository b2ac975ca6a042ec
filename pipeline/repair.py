"""The steps of a refresh that read the lake, each with another try after what can't be read was made anew.

What a disk did to a file shows when the file is read. Raw events are then read again from Postgres, partials
computed again from raw events. Of an expired day Postgres has no raw events: it is noted
(``pipeline.lake.damage``), and the step fails if it can't do without.
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
    """As ``roll_up_days``; a day whose raw events can't be read is read again from Postgres first."""
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
    """As ``settle``."""
    return _repaired(installation, lambda: periods.settle(installation, rollup))


def published(installation: Installation, run_id: str | None = None, *, users: bool = True) -> PublishReport:
    """As ``publish``."""
    return _repaired(installation, lambda: publish(installation, run_id, users=users))


def values_published(installation: Installation) -> ValuesReport:
    """As ``publish_values``."""
    return _repaired(installation, lambda: publish_values(installation))


def read_again(installation: Installation, days: Collection[dt.date] | None = None) -> dict[dt.date, str]:
    """Reads those raw events of some days, or of all, that the lake can't give again from Postgres.

    Returns what was wrong with which day; whether that helped is for the next reader to see.
    """
    with installation.database.locked(Lock.LAKE):
        unreadable = open_usage_events(installation.lake).damaged_days(days)
    noted = damage.note_unreadable(installation.database, unreadable)
    wanted = [day for day, why in noted.items() if not damage.is_lost(why)]
    if wanted:
        sync_days(installation, wanted, replace=True)
    return noted


def _repaired(installation: Installation, work: Callable[[], T]) -> T:
    """Does the work; where it fails for want of a file, once more when that was made anew.

    :raises LakeError: nothing could be made anew, or that did not help.
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
    """Makes anew all that can't be read; returns the days that are lost; None: everything can be read."""
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
