"""Makes sure that the right table is read completely, and notices changes that fire no trigger.

New rows are found by ``ingest_xid``, changed ones by triggers. Neither reveals another table under the same
name, a table that was rewritten, or rows written while the triggers were off. So the state of the catalogs is
remembered with the settings that must not change (``stats_source``). If it differs, every day is compared
with the lake, and days that differ are noted for the sync as if by a trigger. If only partitions differ, only
their days are compared (``pipeline.lake.partitions``).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from pipeline.adoption.catalog import read_catalog
from pipeline.adoption.triggers import TRIGGERS, are_current
from pipeline.database.connections import Database, Fault, fault_of
from pipeline.database.locks import Lock
from pipeline.database.queries import query
from pipeline.database.tables import prompt_usage, stats_day, stats_expired_day, stats_source
from pipeline.errors import DatabaseError, LakeError, SettingsError
from pipeline.lake import source
from pipeline.lake.contents import NOTHING, differences, in_lake, in_postgres
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.ownership import Ownership, identify
from pipeline.lake.partitions import Month, Partition, read_partitions, remembered, settle_come, settle_gone
from pipeline.lake.range_index import raw_counts
from pipeline.names import TableNames

logger = logging.getLogger(__name__)

SOURCE_TABLE = text(query("lake/source_table"))
NUMBER_ROWS_TO_COME = text(query("lake/number_rows_to_come"))
NEXT_XID = text(query("lake/next_xid"))
HAS_ROWS_TO_COME = text(query("lake/has_rows_to_come"))

PUBLISHED = select(stats_day.c.day, stats_day.c.usage_count)
EXPIRED_WITH_A_PARTITION = select(stats_expired_day.c.day, stats_expired_day.c.partition).where(
    stats_expired_day.c.partition.is_not(None)
)

USING = "Using the table of raw events"
ACCEPT = "prompt-stats accept-settings"


@dataclass(frozen=True)
class SourceTable:
    """The table's state in the catalogs. It stays equal as long as no rows can have changed unnoticed.

    ``relation``: its oid. ``file_node``: its file. ``columns``: number and type of each column that is read.
    ``triggers``: ours on it, and when they were changed. ``unnoted``: why some changes fire none of them,
    empty if all do.
    """

    relation: int
    file_node: int
    columns: str
    triggers: str
    unnoted: str
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True)
class Remembered:
    """What ``stats_source`` holds. ``compared_as_of``: every commit before it is in the lake or noted."""

    table: SourceTable
    first_day: dt.date
    table_names: str
    is_watched: bool
    compared_as_of: dt.datetime


@dataclass(frozen=True)
class Source:
    """The table's present state, and its state at the last comparison, or None before the first."""

    table: SourceTable
    remembered: Remembered | None

    @property
    def is_compared(self) -> bool:
        """Whether nothing was changed since without a note."""
        return self.remembered is not None and self.remembered.table == self.table

    def changed_partitions(self) -> set[Partition] | None:
        """Those that are new, gone, or not as they were; None: other days may have changed as well."""
        if self.remembered is None or not self.remembered.is_watched:
            return None
        before = self.remembered.table
        if replace(before, partitions=()) != replace(self.table, partitions=()):
            return None
        changed = set(before.partitions) ^ set(self.table.partitions)
        return changed if all(each.is_bounded for each in changed) else None

    def gone_partitions(self) -> list[Partition]:
        """Those that were there when it was last compared."""
        if self.remembered is None or self.remembered.table.relation != self.table.relation:
            # Of another table, which stands for itself.
            return []
        there = {each.relation for each in self.table.partitions}
        return [each for each in self.remembered.table.partitions if each.relation not in there]

    def new_partitions(self) -> list[Partition]:
        """Those that were not there then."""
        before = self.remembered.table.partitions if self.remembered else ()
        known = {each.relation for each in before}
        return [each for each in self.table.partitions if each.relation not in known]

    def unsure_days(self, days: Collection[dt.date], first_day: dt.date) -> set[dt.date]:
        """Those of the days whose rows may have changed without a note since they were last compared."""
        if self.is_compared:
            return set()
        changed = self.changed_partitions()
        return {day for day in days if changed is None or any(each.has(day, first_day) for each in changed)}

    def as_of_limit(self) -> dt.datetime | None:
        """The latest moment as of which the lake may be said to be complete; None: there is no limit."""
        if self.remembered is None or (self.is_compared and self.remembered.is_watched):
            return None
        return self.remembered.compared_as_of


def require_source(connection: Connection, names: TableNames, first_day: dt.date) -> Source:
    """The table of raw events, after making sure that all of it is visible and counted as before.

    Call it wherever events are counted, compared or removed.

    :raises DatabaseError: it is no table, rows are hidden, or other tables inherit from it.
    :raises SettingsError: the first day, or the table, is another one than the stats were made with.
    """
    table = _look(connection, names)
    remembered = recall(connection)
    if remembered:
        _require_settings(remembered, table, names, first_day)
    return Source(table, remembered)


def require_first_day(connection: Connection, first_day: dt.date) -> None:
    """Makes sure that the stats were made with the same first day.

    :raises SettingsError: it is another one.
    """
    remembered = recall(connection)
    if remembered:
        _require_first_day(remembered, first_day)


class Comparison(NamedTuple):
    """``different``: days that were noted, and how they differ. ``doubtful``: days whose rows went with a
    partition though the lake may not have them as they were, and why; they have to stay as the lake has them.
    ``partitions``: those that there were when it began.
    """

    different: dict[dt.date, str]
    doubtful: dict[dt.date, str]
    partitions: Collection[Partition] = ()


def compare_source(database: Database, events: DailyTable, first_day: dt.date) -> Comparison:
    """Compares days that may have changed unnoticed with the lake, and notes those that differ, and why.

    Rows with an id to come are given one first. Called with ``Lock.LAKE`` held, so that the lake stays as it
    is; the sync that follows reads the noted days again.

    :raises DatabaseError: rows are hidden, or have ids that the role may not change.
    :raises SettingsError: a setting is another one than the stats were made with.
    """
    with database.engine.begin() as connection:
        found = require_source(connection, database.names, first_day)
        numbered = _number_rows_to_come(connection, first_day)
    if found.is_compared and found.remembered and found.remembered.is_watched:
        return Comparison({}, {}, found.table.partitions)
    with database.engine.begin() as connection:
        catalog = read_catalog(connection, database.names)
        is_watched = are_current(catalog, database.names) and not found.table.unnoted
        snapshot = source.take_snapshot(connection)
        previous = source.latest_refresh(connection)
        expired = source.expired_days(connection).keys()
    # Whoever planned the sync could not know of them yet.
    different = dict.fromkeys(numbered, "rows had an ingest_xid that was still to come")
    doubtful: dict[dt.date, str] = {}
    gone, come = found.gone_partitions(), found.new_partitions()
    # Before anything was read everything is new.
    if (previous and previous["high"]) or set(events.days()["day"]) - expired:
        changed = found.changed_partitions()
        scope = "every day" if changed is None else f"the days of {len(changed)} partitions"
        logger.info("comparing %s with the lake: %s", scope, _reason(found, is_watched=is_watched))
        for month in _compared(database, events, snapshot, first_day, changed, come):
            said = dict(month.different)
            if gone and not database.counts_down:
                with database.engine.begin() as connection:
                    kept, doubts = settle_gone(connection, gone, come, month, first_day, snapshot.high)
                for day in kept:
                    # What is left of its rows may be new.
                    if day not in month.in_postgres:
                        del said[day]
                doubtful |= doubts
            different |= {day: why for day, why in said.items() if day not in doubtful}
    with database.engine.begin() as connection:
        if different:
            source.read_again(connection, different)
        # A partition is not forgotten while what becomes of its days is open.
        open_ = [each for each in gone if any(each.has(day, first_day) for day in doubtful)]
        table = replace(found.table, partitions=(*found.table.partitions, *open_))
        _remember(connection, table, database.names, first_day, snapshot.as_of, is_watched=is_watched)
    for day, why in sorted(different.items()):
        logger.warning("%s: %s; the day is read again", day, why)
    return Comparison(different, doubtful, found.table.partitions)


def require_partitions(
    database: Database, partitions: Collection[Partition], days: Collection[dt.date], first_day: dt.date
) -> None:
    """Makes sure that none of the partitions has gone that may have had rows of the days.

    :raises LakeError: one has.
    """
    mine = [each for each in partitions if any(each.has(day, first_day) for day in days)]
    if not mine or database.counts_down:
        return
    with database.engine.connect() as connection:
        now = read_partitions(connection, database.names.qualified("prompt_usage"))
    there = {each.relation for each in now}
    gone = [each.name for each in mine if each.relation not in there]
    if gone:
        raise LakeError(
            f"Reading {len(days)} days again, from {min(days)} on",
            f"the partition {gone[0]} disappeared meanwhile",
            "The lake keeps its events of these days. Run prompt-stats refresh",
        )


def compare_now(database: Database, events: DailyTable, first_day: dt.date) -> dict[dt.date, str]:
    """:func:`compare_source` for who plans a refresh; takes ``Lock.LAKE`` where there is anything to do.

    :raises LakeOwnerError: the lake is another database's.
    """
    with database.engine.connect() as connection:
        ownership = identify(connection, events)
        is_compared = require_source(connection, database.names, first_day).is_compared
        # After a restore the sync reads everything anew, by ids of another server.
        if is_compared or ownership is Ownership.UNKNOWN:
            return {}
    with database.locked(Lock.LAKE):
        return compare_source(database, events, first_day).different


def forget_comparison(connection: Connection, first_day: dt.date, names: TableNames) -> None:
    """Has the next sync compare every day, with these settings."""
    connection.execute(
        stats_source.update().values(
            first_day=first_day, table_names=names_of_usage(names), relation=0, is_watched=False
        )
    )


def _look(connection: Connection, names: TableNames) -> SourceTable:
    columns, name = prompt_usage.columns.keys(), names.qualified("prompt_usage")
    row = connection.execute(
        SOURCE_TABLE,
        {
            "table": name,
            "ours": columns,
            "theirs": [names.column("prompt_usage", column) for column in columns],
            "triggers": list(TRIGGERS),
        },
    ).one_or_none()
    if row is None or not row.is_read:
        raise DatabaseError(
            USING,
            f"there is no table {name}" if row is None else f"prompt_usage is a view, but not of {name}",
            "Check that DATABASE_URL and PROMPT_STATS_TABLES are right, then run: prompt-stats"
            " migrate" + ("" if row is None else ". If the view is an old one, drop it first"),
        )
    if not row.is_table:
        raise DatabaseError(
            USING,
            f"{name} is not a table, so it may show only some of the rows, or other rows. Nothing was"
            " changed",
            "Set PROMPT_STATS_TABLES=prompt_usage=… to the table's present name, or give it its old name"
            " back; then run: prompt-stats migrate",
        )
    if row.schema != row.schema_of_stats:
        raise DatabaseError(
            USING,
            f"this role's sessions find {name} in the schema {row.schema}, but the stats in"
            f" {row.schema_of_stats}, which may belong to another table. Nothing was changed",
            f"Set PROMPT_STATS_TABLES=schema={row.schema_of_stats}, or the role's search_path to that schema",
        )
    if row.is_filtered:
        raise DatabaseError(
            USING,
            f"row level security may hide rows of {name} from this role, and a hidden row looks like a"
            " deleted one. Nothing was changed",
            Fault.HIDDEN_ROWS.value,
        )
    if row.is_inherited:
        raise DatabaseError(
            USING,
            f"{name} is a partition, or has a parent or child table (INHERITS), whose rows would be counted"
            " and removed with it. Nothing was changed",
            f"Run as its owner: ALTER TABLE … NO INHERIT …, so that {name} stands alone; or name the"
            " partitioned table in PROMPT_STATS_TABLES",
        )
    if row.has_foreign:
        raise DatabaseError(
            USING,
            f"a partition of {name} is a foreign table, whose changes can't be noticed. Nothing was changed",
            "Run as its owner: ALTER TABLE … DETACH PARTITION …",
        )
    partitions = read_partitions(connection, name) if row.is_partitioned else ()
    return SourceTable(
        row.relation,
        row.file_node,
        row.columns or "",
        row.triggers or "",
        row.unnoted or "",
        partitions,
    )


def recall(connection: Connection) -> Remembered | None:
    """What is remembered; None before the first refresh."""
    row = connection.execute(select(stats_source)).one_or_none()
    if row is None:
        return None
    return Remembered(
        SourceTable(
            row.relation,
            row.file_node,
            row.columns,
            row.triggers,
            row.unnoted,
            tuple(Partition(**each) for each in row.partitions),
        ),
        row.first_day,
        row.table_names,
        row.is_watched,
        row.compared_as_of,
    )


def _require_first_day(remembered: Remembered, first_day: dt.date) -> None:
    if remembered.first_day != first_day:
        raise SettingsError(
            "Counting by day",
            f"PROMPT_STATS_START_DATE is {first_day} here, but the stats of this database were made with"
            f" {remembered.first_day}",
            f"Set PROMPT_STATS_START_DATE={remembered.first_day}. To change it on purpose, set the new value"
            f" everywhere and run: {ACCEPT}",
        )


def _require_settings(
    remembered: Remembered, table: SourceTable, names: TableNames, first_day: dt.date
) -> None:
    _require_first_day(remembered, first_day)
    # A table that was renamed is the same one; one swapped in under the same name is read anew.
    is_same = (remembered.table.relation, remembered.table.columns) == (table.relation, table.columns)
    if remembered.table_names != names_of_usage(names) and not is_same:
        raise SettingsError(
            USING,
            f"PROMPT_STATS_TABLES calls it {names_of_usage(names)} here, but the stats of this database were"
            f" made from {remembered.table_names}",
            f"Set PROMPT_STATS_TABLES as before. To change it on purpose, set the new value everywhere and"
            f" run: {ACCEPT}",
        )


def names_of_usage(names: TableNames) -> str:
    """The names of the raw table and of its columns, where they are the app's own."""
    columns = sorted(
        f"{ours}={theirs}" for (table, ours), theirs in names.columns.items() if table == "prompt_usage"
    )
    return ", ".join([names.qualified("prompt_usage").replace('"', ""), *columns])


def _number_rows_to_come(connection: Connection, first_day: dt.date) -> set[dt.date]:
    """Returns the days of the rows that had such an id."""
    given = {"next_xid": connection.execute(NEXT_XID).scalar_one()}
    if not connection.execute(HAS_ROWS_TO_COME, given).scalar_one():
        return set()
    try:
        with connection.begin_nested():
            days = connection.scalars(NUMBER_ROWS_TO_COME, {**given, "first_day": first_day}).all()
    except DBAPIError as error:
        if fault_of(error) is not Fault.RIGHT:
            raise
        raise DatabaseError(
            "Counting rows of prompt_usage whose ingest_xid Postgres has not assigned yet",
            "this role may not give them another one",
            "Run GRANT UPDATE (ingest_xid) ON prompt_usage as its owner, as in sql/roles/pipeline.sql; or run"
            " prompt-stats refresh once as the owner",
        ) from error
    logger.warning("%d rows had an ingest_xid from the future, and were given a present one", len(days))
    return set(days)


def _reason(found: Source, *, is_watched: bool) -> str:
    if found.remembered is None:
        return "nothing is remembered of the table yet"
    now, before = vars(found.table), vars(found.remembered.table)
    changed = [name for name, value in now.items() if value != before[name]]
    if changed:
        return f"another {', '.join(changed)} of prompt_usage than before"
    return "not all changes of prompt_usage are noted" if not is_watched else "its changes are noted again"


def _compared(
    database: Database,
    events: DailyTable,
    snapshot: source.Snapshot,
    first_day: dt.date,
    partitions: Collection[Partition] | None,
    come: Collection[Partition],
) -> Iterator[Month]:
    """What Postgres and the lake hold, month by month: of the days of ``partitions``, or of all.

    Days that expired with a partition are Postgres' again where ``come``, the new partitions, has that one,
    or where Postgres has what the lake has.
    """
    with database.engine.connect() as connection:
        counts = {row.day: row.usage_count for row in connection.execute(PUBLISHED)}
        expired = source.expired_days(connection)
        went = {row.day: row.partition for row in connection.execute(EXPIRED_WITH_A_PARTITION)}
        back = {day for day in went for each in come if each.name == went[day] and each.has(day, first_day)}
        if partitions is None:
            in_raw = raw_counts(connection, first_day, snapshot.open_until, snapshot.high).keys()
            days = {day for day in in_raw | counts.keys() | set(events.days()["day"]) if first_day <= day}
            days -= expired.keys() - in_raw - back
        else:
            days = {day for each in partitions for day in each.days(first_day, snapshot.open_until)}
    for month in sorted({day.replace(day=1) for day in days}):
        part = {day for day in days if day.replace(day=1) == month}
        with database.engine.connect() as connection:
            there = in_postgres(connection, part, snapshot.high, first_day)
        of_lake_alone = part & expired.keys()
        returning = of_lake_alone & (there.keys() | back)
        if partitions is None:
            returning &= went.keys()
        here, unreadable = in_lake(events, part - of_lake_alone | returning, snapshot.high)
        different = differences(there, here, part - of_lake_alone) | unreadable
        in_both = {day: (there.get(day, NOTHING), here.get(day, NOTHING)) for day in returning}
        equal = {day for day, (raw, kept) in in_both.items() if raw.is_same_as(kept)} - unreadable.keys()
        returned = set[dt.date]()
        if own := equal | (returning & back):
            with database.engine.begin() as connection:
                returned = settle_come(connection, own, back, here, snapshot.high, first_day)
            again = [day for day in returned if in_both[day][0] != in_both[day][1]]
            different |= dict.fromkeys(again, "its rows are in Postgres again")
        # What the lake has of these is not compared: rows that it lacks are added by their ids.
        left = of_lake_alone & there.keys() - returned
        different |= dict.fromkeys(left, "raw rows of an expired day may be new")
        yield Month(different, there, here, unreadable, counts)


def _remember(
    connection: Connection,
    table: SourceTable,
    names: TableNames,
    first_day: dt.date,
    as_of: dt.datetime,
    *,
    is_watched: bool,
) -> None:
    values = {
        **asdict(table),
        "partitions": remembered(table.partitions),
        "first_day": first_day,
        "table_names": names_of_usage(names),
        "is_watched": is_watched,
        "compared_as_of": as_of,
        "compared_at": dt.datetime.now(dt.UTC),
    }
    statement = upsert(stats_source).values(id=1, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
