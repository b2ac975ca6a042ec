"""The steps of a refresh in order, without Dagster: what to do, then sync, roll up, publish.

Dagster runs the same steps as assets (``pipeline.orchestration``); this is for tests, benchmarks and
callers that have an orchestrator of their own.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select, text

from pipeline.database import Database
from pipeline.days import ONE_DAY, DayRange
from pipeline.errors import LakeError
from pipeline.lake import source
from pipeline.lake.ownership import Ownership, identify
from pipeline.lake.partials import USAGE, USERS, open_partials, roll_up_days, stale_days
from pipeline.lake.periods import settle
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.publish.publish import PublishReport, publish
from pipeline.publish.values import publish_values
from pipeline.queries import query
from pipeline.tables import stats_day

USERS_ARE_DUE = text(query("postgres/users_are_due"))
LARGEST_XID = 2**63 - 1


class Reason(StrEnum):
    """Why a day is stale; of several reasons the later one here counts."""

    NEW_DATA = "new_data"
    """Events of these days came, or the day opened."""
    LATE_DATA = "late_data"
    """Events came for a day before yesterday."""
    CHANGED_DATA = "changed_data"
    """Raw events were updated or deleted."""
    REPAIR = "repair"
    """The lake lacks the day, or its partials were not made from what it holds: a crash, a restored backup,
    another version of the query."""


@dataclass(frozen=True)
class Plan:
    """What a refresh has to do. ``reasons``: the days to sync and roll up, in order, and why each of them;
    ``users``: whether they are due; ``is_first``: whether nothing was published yet.
    """

    reasons: dict[dt.date, Reason]
    users: bool
    snapshot: source.Snapshot
    is_first: bool

    @property
    def days(self) -> list[dt.date]:
        """The days to sync and roll up, in order."""
        return list(self.reasons)


def plan_refresh(database: Database, lake: str, first_day: dt.date) -> Plan:
    """The days that are stale: in Postgres, since the last publish, or within the lake.

    New rows since the published watermark, updated and deleted rows, days that opened since, published
    days that the lake does not have, and days whose partials are older than their raw events, as a crash
    may leave them. After a restore, all days.

    :raises LakeOwnerError: the lake is another database's.
    """
    events = open_usage_events(lake)
    held = set(events.days()["day"])
    with database.engine.connect() as connection:
        snapshot = source.take_snapshot(connection)
        previous = source.latest_refresh(connection)
        is_unknown = identify(connection, events) is Ownership.UNKNOWN
        since = 0 if is_unknown or not previous else previous["high"]
        # After a restore rows may carry ids that this server has yet to give out.
        below = dataclasses.replace(snapshot, high=LARGEST_XID) if is_unknown else snapshot
        touched = set(source.touched_days(connection, below, since, first_day))
        changed = source.invalidated_days(connection, first_day)
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
            *stale_days(open_partials(lake), events),
            *(held if is_unknown else ()),
        },
    }
    reasons = {
        day: reason
        for reason, days in by_reason.items()
        for day in days
        if day is not None and first_day <= day <= snapshot.open_until
    }
    return Plan(dict(sorted(reasons.items())), users, snapshot, previous is None)


def refresh(
    database: Database,
    lake: str,
    first_day: dt.date,
    days: Collection[dt.date] | None = None,
    *,
    replace: bool = False,
    users: bool = True,
    values: bool = False,
) -> PublishReport:
    """Brings the stats up to date; ``days`` limits the work, ``replace`` reads those days again whole.

    ``users``, ``values``: the stats of users, and those counted by value from all raw events, too. They cost
    more and need not be every few minutes.

    :raises LakeError: some days could not be processed, or read by value; the others are published.
    """
    wanted = plan_refresh(database, lake, first_day).days if days is None else days
    failed = sync_days(database, lake, first_day, wanted, replace=replace).failed
    failed |= roll_up_days(database, lake, wanted).failed
    settle(database, lake, USAGE)
    if users:
        failed |= roll_up_days(database, lake, rollup=USERS).failed
        settle(database, lake, USERS)
    report = publish(database, lake, first_day, users=users)
    raise_failed(failed)
    if values:
        publish_values(database, lake)
    return report


def raise_failed(failed: Mapping[dt.date, str]) -> None:
    """Says which days could not be processed, if any.

    :raises LakeError: there are such days.
    """
    if failed:
        day, reason = min(failed.items())
        raise LakeError(
            f"Processing {len(failed)} days, the first of them {day}",
            reason.rstrip("."),
            "The other days are published, and these are tried again at the next refresh",
        )
