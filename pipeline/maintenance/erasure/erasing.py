"""The erasure in order: journal, Postgres, lake with its old files, stats, logs; then the search.

Data that the app keeps elsewhere (its posts, its users) belongs to the app, and the search names it. Backups
can't be changed.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline.database import tables
from pipeline.database.locks import Lock
from pipeline.errors import LakeError, LostDaysError
from pipeline.installation import Installation
from pipeline.lake import damage, source
from pipeline.lake.contents import checksums
from pipeline.lake.isolation import run_isolated
from pipeline.lake.ownership import make_own
from pipeline.lake.source_table import require_source
from pipeline.lake.upkeep import clean
from pipeline.lake.usage_events import SCHEMA, open_own_events, open_usage_events, sync_days
from pipeline.maintenance.erasure import removal, search
from pipeline.maintenance.erasure.account import Account, Step
from pipeline.maintenance.erasure.person import Person, read_person
from pipeline.publish.values import publish_values
from pipeline.refresh import raise_failed, refresh

logger = logging.getLogger(__name__)

NOTHING_KEPT = dt.timedelta(0)
APP_TABLES = ("posts", "prompts")
"""Tables of the app, which are searched and not changed."""


Search = Callable[[Person], tuple[dict[str, int], dict[str, str]]]
"""Where a person is mentioned and how often, and what could not be searched and why."""


@dataclass(frozen=True)
class ErasureReport:
    """``rows``: rows deleted, by table of Postgres. ``events``: events removed from the lake.

    ``files``: old files of the lake deleted. ``found``: where the person's id is still, by table or file,
    and how often; empty if all is gone. ``left_to_app``: the same in the app's own tables. ``unread``: files
    that could not be searched, and stats that could not be counted anew, and why. ``waiting``: events removed
    from the journal. ``blanked``: mentions overwritten in logs. ``dead``: tables whose deleted rows are on
    Postgres's disk until autovacuum comes, and why.
    """

    rows: dict[str, int]
    events: int
    files: int
    found: dict[str, int]
    left_to_app: dict[str, int]
    unread: dict[str, str]
    waiting: int = 0
    blanked: int = 0
    dead: dict[str, str] = field(default_factory=dict)


def erase_user(
    installation: Installation,
    user_id: str,
    *,
    home: Path | None = None,
    journal_dir: Path | None = None,
    searches: Collection[Search] = (),
) -> ErasureReport:
    """Removes all of a person's events, publishes, and searches every table and file for the id.

    ``home`` and ``journal_dir``: folders with logs and with waiting events; every file in them is searched.
    ``searches``: what else is searched. May be repeated, and has to be if the person's events still come in.
    Expired days that can't be read are left as they are, and all else is done.

    :raises InputError: ``prompt_usage.user_id`` can't hold such an id.
    :raises LakeOwnerError: the lake is another database's; nothing was erased.
    :raises SettingsError: a setting is another one than the stats were made with; nothing was erased.
    :raises DatabaseError: the raw table is not seen whole, and nothing was erased; or the database failed.
    :raises LakeError: a day could not be processed, or the lake can't be written. An error that comes later
        says what was done by then, and what was not.
    """
    database = installation.database
    with database.engine.connect() as connection:
        require_source(connection, database.names, installation.first_day)
        person = read_person(connection, database.names, user_id)
    open_own_events(installation)
    account = Account()
    try:
        return _erase(installation, person, home, journal_dir, searches, account)
    except (Exception, KeyboardInterrupt) as error:
        raise account.half_way(error) from error


def _erase(
    installation: Installation,
    person: Person,
    home: Path | None,
    journal_dir: Path | None,
    searches: Collection[Search],
    account: Account,
) -> ErasureReport:
    database, lake = installation.database, installation.lake
    folders = [folder for folder in (home, journal_dir) if folder and folder.is_dir()]
    with account.step(Step.JOURNAL):
        waiting, unread = removal.delete_waiting(journal_dir, person)
    with account.step(Step.ROWS):
        rows = removal.delete_rows(database, person)
    with account.step(Step.LAKE):
        days, unreadable = _days_of(lake, person)
        removed = _remove_expired(installation, days, person)
        with database.engine.connect() as connection:
            noted = source.invalidated_days(connection, installation.first_day)
        # Days of which Postgres has nothing of the user, though the lake has, are not noted as changed.
        # Those that can't be read are made anew, so that what was in them is known.
        suspects = days.keys() | unreadable.keys()
        unnoted = [day for day in suspects if day not in removed and day not in noted]
        # A day that is lost is named by the search, and does not keep the others from being erased.
        with suppress(LostDaysError):
            raise_failed(sync_days(installation, unnoted, replace=True).failed)
    with account.step(Step.STATS):
        with suppress(LostDaysError):
            refresh(installation)
        # With a lost day the stats of users may have to stay as they are.
        removal.delete_stats(database, person)
    with account.step(Step.FILES):
        files = clean(installation, NOTHING_KEPT)
    with account.step(Step.VALUES):
        try:
            publish_values(installation)
        except LakeError as error:
            # Without a day that can't be read there is nothing to count anew; the counts name nobody.
            unread |= {table.name: str(error) for table in tables.VALUE_TABLES}
    with account.step(Step.DEAD_ROWS):
        dead = removal.vacuum(database)
    with account.step(Step.LOGS):
        blanked = removal.blank_logs(folders, lake, person)
    with account.step(Step.SEARCH):
        found = search.search_tables(database, person)
        for places, why in (
            search.search_lake(lake, person),
            search.search_folders(folders, lake, person),
            *(look(person) for look in searches),
        ):
            found |= places
            unread |= why
        unread |= {f"{day} of usage_events": why for day, why in _days_of(lake, person)[1].items()}
    left = {name: found.pop(name) for name in APP_TABLES if name in found}
    logger.info("erased a user from %d days; %d files deleted", len(days), files)
    return ErasureReport(rows, sum(days.values()), files, found, left, unread, waiting, blanked, dead)


def _days_of(lake: str, person: Person) -> tuple[dict[dt.date, int], dict[dt.date, str]]:
    """The days of the lake with events of the user, and how many; the days that can't be read, and why."""
    table = open_usage_events(lake)
    found: dict[dt.date, int] = {}

    def count(days: list[dt.date]) -> None:
        rows = pl.DataFrame(table.rows(days, ds.field("user_id").isin(person.spellings), ["day"]))
        found.update(rows.group_by("day").agg(pl.len()).iter_rows())

    held = table.days()["day"].to_list()
    return found, run_isolated([held] if held else [], count)


def _remove_expired(installation: Installation, days: dict[dt.date, int], person: Person) -> set[dt.date]:
    """Rewrites the expired ones of the days without the user; returns them."""
    database = installation.database
    with database.locked(Lock.LAKE):
        with database.engine.connect() as connection:
            expired = source.expired_days(connection)
        table = open_usage_events(installation.lake)
        make_own(database, table)
        lost = damage.note_lost_days(database, table, expired.keys() & days)
        for day in expired.keys() & days:
            is_other = ~ds.field("user_id").isin(person.spellings)
            others: pa.Table = table.read([day]).filter(is_other).to_table()
            # As if read again: else a late event of the day would make it look as if it had only grown, and
            # what is published of its users would not be compared with it.
            read_again = pc.add(others["synced_high"], 1)
            others = others.set_column(
                others.schema.get_field_index("synced_high"), "synced_high", read_again
            )
            if day not in lost:
                with database.engine.begin() as connection:
                    # The smaller number first: after a crash in between the day is not taken for a wrong one.
                    source.record_contents(connection, {day: (others.num_rows, None)})
            table.replace([day], others.select(SCHEMA.names).cast(SCHEMA))
            # A day that is not as it should be does not become right by being rewritten.
            if day not in lost:
                with database.engine.begin() as connection:
                    checksum = checksums(table, [day])[day]
                    source.record_contents(connection, {day: (others.num_rows, checksum)})
    return set(expired.keys() & days)
