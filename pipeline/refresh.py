"""The steps of a refresh in order, without Dagster: plan, sync, roll up, publish.

Dagster runs the same steps as assets (``pipeline.orchestration``). This module is for ``prompt-stats
refresh`` when nothing is stale, for tests and benchmarks, and for callers that have their own orchestrator.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, text

from pipeline import repair
from pipeline.database.queries import query
from pipeline.database.tables import stats_day
from pipeline.days import ONE_DAY, DayRange
from pipeline.errors import LakeError, LostDaysError
from pipeline.installation import Installation
from pipeline.lake import source
from pipeline.lake.damage import is_lost
from pipeline.lake.ownership import Ownership, identify
from pipeline.lake.partials import USAGE, USERS, open_partials, stale_days
from pipeline.lake.source_table import require_source
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.publish.publish import PublishReport

USERS_ARE_DUE = text(query("refresh/users_are_due"))
LARGEST_XID = 2**63 - 1


class Reason(StrEnum):
    """Why a day is stale. If it has several reasons, the last one in this list counts."""

    NEW_DATA = "new_data"
    """Events of these days came, or the day opened."""
    LATE_DATA = "late_data"
    """Events came for a day before yesterday."""
    CHANGED_DATA = "changed_data"
    """Raw events were updated or deleted."""
    REPAIR = "repair"
    """The lake lacks the day, or its partials were not made from what it holds: a crash, a restored backup,
    another version of the query."""
    DAMAGE = "damage"
    """A file of the day is missing or was cut off."""


@dataclass(frozen=True)
class Plan:
    """What a refresh has to do. ``reasons``: the days to sync and roll up, in order, and why each of them;
    ``users``: whether they are due; ``is_first``: whether nothing was published yet; ``is_quiet``: whether
    the published stats contain all events, and write-back is on or off as it was.
    """

    reasons: dict[dt.date, Reason]
    users: bool
    snapshot: source.Snapshot
    is_first: bool
    is_quiet: bool

    @property
    def days(self) -> list[dt.date]:
        """The days to sync and roll up, in order."""
        return list(self.reasons)


def plan_refresh(installation: Installation) -> Plan:
    """Finds the stale days, and why each of them is stale.

    A day is stale if it has new rows since the published watermark, or updated or deleted rows; if it opened
    since the last publish; if it was published and the lake does not have it; if its partials are older than
    its raw events, as after a crash; or if one of its files is missing or was cut off. After a restore, and
    if rows may have changed without a note, all days are stale.

    :raises LakeOwnerError: the lake belongs to another database.
    :raises DatabaseError: this role may not see the whole raw table.
    :raises SettingsError: a setting differs from the one that the stats were made with.
    """
    database, first_day = installation.database, installation.first_day
    events, partials = open_usage_events(installation.lake), open_partials(installation.lake)
    held = set(events.days()["day"])
    with database.engine.connect() as connection:
        is_unknown = identify(connection, events) is Ownership.UNKNOWN
        raw_table = require_source(connection, database.names, first_day)
        snapshot = source.take_snapshot(connection)
        previous = source.latest_refresh(connection)
        since = 0 if is_unknown or not previous else previous["high"]
        # After a restore rows may carry ids that this server has yet to give out.
        below = dataclasses.replace(snapshot, high=LARGEST_XID) if is_unknown else snapshot
        touched = set(source.touched_days(connection, below, since, first_day))
        changed = source.invalidated_days(connection, first_day)
        expired = source.expired_days(connection)
        published = set(connection.scalars(select(stats_day.c.day)))
        users = bool(connection.execute(USERS_ARE_DUE).scalar_one())
    if previous:
        touched.update(DayRange(previous["open_until"] + ONE_DAY, snapshot.open_until).days())
    yesterday = snapshot.taken_at.astimezone(dt.UTC).date() - ONE_DAY
    by_reason: dict[Reason, Collection[dt.date | None]] = {
        Reason.NEW_DATA: touched,
        Reason.LATE_DATA: {day for day in touched if previous and day < yesterday},
        Reason.CHANGED_DATA: changed.keys() | (held if None in changed else set()),
        # A lake that was lost, or is another one than before, is read anew.
        Reason.REPAIR: {
            *(published - held),
            *stale_days(partials, events),
            *(held if is_unknown else ()),
            *(raw_table.unsure_days(held | published, first_day) if previous else ()),
        },
        Reason.DAMAGE: {*(events.faults().keys() - expired.keys()), *partials.faults()},
    }
    reasons = {
        day: reason
        for reason, days in by_reason.items()
        for day in days
        if day is not None and first_day <= day <= snapshot.open_until
    }
    is_quiet = not reasons and previous is not None and previous["is_written_back"] == database.write_back
    return Plan(dict(sorted(reasons.items())), users, snapshot, previous is None, is_quiet)


def refresh(
    installation: Installation,
    days: Collection[dt.date] | None = None,
    *,
    replace: bool = False,
    users: bool = True,
    values: bool = False,
) -> PublishReport:
    """Brings the stats up to date.

    ``days`` limits the work to these days. ``replace`` reads them again completely. ``users`` and ``values``
    also publish the stats of users, and those by value, which are counted from all raw events. Both cost more
    and are not needed every few minutes.

    :raises LostDaysError: the lake lost expired days. The others are published.
    :raises LakeError: some days could not be processed, or read by value. The others are published.
    :raises DatabaseError: this role may not see the whole raw table. The published stats stay.
    :raises SettingsError: a setting differs from the one that the stats were made with. The published stats
        stay.
    """
    wanted = plan_refresh(installation).days if days is None else days
    synced = sync_days(installation, wanted, replace=replace)
    failed = synced.failed | repair.roll_up(installation, {*wanted, *synced.found}).failed
    repair.settled(installation, USAGE)
    if users:
        repair.settled(installation, USERS)
    report = repair.published(installation, users=users)
    raise_failed(failed)
    if values:
        repair.values_published(installation)
    return report


def raise_failed(failed: Mapping[dt.date, str]) -> None:
    """Raises an error that names the days that could not be processed, if there are any.

    :raises LostDaysError: some of the days can only be restored from a backup of the lake.
    :raises LakeError: some days could not be processed for another reason.
    """
    if failed:
        day, reason = min(failed.items())
        is_over = all(is_lost(each) for each in failed.values())
        raise (LostDaysError if is_over else LakeError)(
            f"Processing {len(failed)} days, the first of them {day}",
            reason.rstrip("."),
            "The other days are published" + ("" if is_over else "; the next refresh tries these again"),
        )
