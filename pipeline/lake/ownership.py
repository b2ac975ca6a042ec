"""Decides who owns the lake. A lake belongs to one database, and refuses all others.

Both store a random identity (``lake_id``), and every commit of ``usage_events`` carries a random token that
the database records first, in ``stats_lake_token``. In the lake both are versions of Delta's application
transactions, so they are read from the log, and survive its checkpoints.
https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers

A database that knows the lake's latest token has everything that the lake is based on. A database that does
not know it went back in time: by a restored data folder, a recovery, or a standby that was promoted without
the last transactions. docs/decisions/0015-lake-ownership.md describes each state and what happens in it.
"""

from __future__ import annotations

import logging
import secrets
from enum import Enum

from deltalake import Transaction
from sqlalchemy import Connection, delete, func, insert, select

from pipeline.database.connections import Database
from pipeline.database.tables import stats_expired_day, stats_lake_token
from pipeline.errors import LakeOwnerError, LostDaysError
from pipeline.lake import damage, source
from pipeline.lake.delta_table import WRITER, DailyTable

logger = logging.getLogger(__name__)

OWNER = f"{WRITER}-lake"
"""The application transaction whose version is the ``lake_id``."""

USING = "Using the lake"
NEW_LAKE = "set PROMPT_STATS_LAKE_URI to an empty folder, into which all of prompt_usage is read"
LEAVE_OR_DISCARD = (
    "Nothing was changed. Set PROMPT_STATS_LAKE_URI to an empty folder, into which all of prompt_usage is"
    " read. If nobody needs what this lake holds, you can run prompt-stats claim-lake --discard instead"
)


class Ownership(Enum):
    """The relation of a database to a lake that it may use."""

    UNOWNED = "the lake is empty and belongs to nobody yet"
    KNOWN = "the lake is as this database knows it"
    UNKNOWN = "the lake has commits that this database does not know: it went back in time"


def identify(connection: Connection, table: DailyTable) -> Ownership:
    """The relation of the database to the lake. ``table`` is the lake's ``usage_events``.

    It reads the log and two small tables.

    :raises LakeOwnerError: the lake belongs to another database, or this one's lake is elsewhere.
    """
    lake_id, token = table.transaction(OWNER), table.transaction(WRITER)
    rows = connection.execute(select(stats_lake_token)).all()
    if lake_id is None:
        return _identify_unowned(connection, table, is_bound=bool(rows))
    ours = [row for row in rows if row.lake_id == lake_id]
    if not ours:
        raise LakeOwnerError(
            USING,
            "it belongs to another database, or this one used it before its present lake or before migrate"
            " --undo",
            LEAVE_OR_DISCARD,
        )
    snapshot = source.take_snapshot(connection)
    if any(row.server != snapshot.server for row in ours):
        raise LakeOwnerError(
            USING,
            "it belongs to the database that this one is a copy of",
            f"Nothing was changed. If this is a copy for a test, {NEW_LAKE}. If it replaces the original, run"
            " prompt-stats claim-lake: the lake then refuses the original, and everything is read again",
        )
    is_known = any(row.token == token for row in ours) and not source.has_stepped_back(connection, snapshot)
    return Ownership.KNOWN if is_known else Ownership.UNKNOWN


def _identify_unowned(connection: Connection, table: DailyTable, *, is_bound: bool) -> Ownership:
    expired = connection.execute(select(func.count()).select_from(stats_expired_day)).scalar_one()
    if table.days().is_empty():
        if expired:
            raise LakeOwnerError(
                USING,
                f"it is empty, and {expired} days whose raw rows were removed from Postgres are only in"
                " another lake",
                "Nothing was changed. Set PROMPT_STATS_LAKE_URI to that lake, or restore it from its backup."
                " To give up these days instead, delete them from stats_expired_day",
            )
        return Ownership.UNOWNED
    # A version that knew no tokens has filled it: for this database, if that has read into a lake at all.
    if is_bound or not source.has_synced(connection):
        raise LakeOwnerError(
            USING,
            f"it holds events of {table.days().height} days that this database has not written since it was"
            " migrated: they come from another database, or from this one before migrate --undo",
            LEAVE_OR_DISCARD,
        )
    return Ownership.UNKNOWN


def make_own(database: Database, table: DailyTable) -> None:
    """Makes sure that the database knows each commit to the table ``usage_events``. Hold ``Lock.LAKE``.

    A lake without an owner becomes this database's. If a lake has commits that the database does not know,
    all days except expired ones are emptied, to be read again, and the lake gets a new identity. So the
    writer of those commits, if it still exists, is refused.

    :raises LakeOwnerError: the lake belongs to another database.
    :raises LostDaysError: it does not hold expired days as they were; nothing was changed.
    :raises DatabaseError: the role may not change the raw table.
    """
    with database.engine.connect() as connection:
        ownership = identify(connection, table)
    if ownership is Ownership.UNKNOWN:
        _require_expired_days(database, table)
        logger.warning("the database or the lake went back in time, so everything is read again")
        _take_over(database, table)
    else:
        lake_id = table.transaction(OWNER) if ownership is Ownership.KNOWN else None
        _sign_commits(database, table, lake_id or _random())
        if forget_other_tokens(database, table) and lake_id is None:
            logger.warning(
                "%s is empty. Everything is read again. This database used another lake before and refuses it"
                " from now on; to go back, name that lake and run prompt-stats claim-lake --discard",
                table.uri,
            )


def claim(database: Database, table: DailyTable, *, discard: bool = False) -> bool:
    """Makes the database the owner of the lake, and returns whether it is a new owner. Hold ``Lock.LAKE``.

    The next refresh reads all days except expired ones again, and the former owner is refused from now on.
    With ``discard`` this works for a lake that the database does not know, too, whose contents are discarded.
    Expired days that have changed are then accepted as the lake has them.

    :raises LakeOwnerError: the lake holds what may be nowhere else, and ``discard`` was not given; or expired
        days of this database are in another lake.
    :raises LostDaysError: it does not hold expired days as they were, and ``discard`` was not given.
    """
    with database.engine.connect() as connection:
        try:
            if identify(connection, table) is not Ownership.UNKNOWN:
                return False
        except LakeOwnerError:
            if not _has_known(connection, table):
                _require_discard(connection, discard=discard)
    if discard:
        damage.compare_expired(database, table, accept=True)
    else:
        _require_expired_days(database, table)
    _take_over(database, table)
    return True


def _require_expired_days(database: Database, table: DailyTable) -> None:
    # Known ones first: to read all takes long, and whoever waits for a backup refreshes every few minutes.
    lost = damage.note_lost_days(database, table) or damage.compare_expired(database, table)
    if lost:
        raise LostDaysError(
            USING,
            "it does not hold expired days as they were, and Postgres no longer has their rows:"
            f" {', '.join(map(str, lost))}. {min(lost.items())[1].removesuffix(f'. {damage.RESTORE}')}",
            "Nothing was changed, and the stats stay. Restore the lake as this database used it last. To"
            " count these days as this lake has them instead, run prompt-stats claim-lake --discard",
        )


def _has_known(connection: Connection, table: DailyTable) -> bool:
    """Whether the lake belonged to the database that this one is a copy of."""
    lake_id = stats_lake_token.c.lake_id
    found = connection.execute(select(lake_id).where(lake_id == table.transaction(OWNER)).limit(1))
    return found.first() is not None


def _require_discard(connection: Connection, *, discard: bool) -> None:
    attempted = "Claiming the lake"
    if not discard:
        raise LakeOwnerError(
            attempted,
            "it is not the lake that this database uses. Another database may have its past only there, or"
            " this one used it before its present lake or before migrate --undo",
            "Nothing was changed. If nobody needs what it holds, run prompt-stats claim-lake --discard",
        )
    if connection.execute(select(func.count()).select_from(stats_expired_day)).scalar_one():
        raise LakeOwnerError(
            attempted,
            "days of this database whose raw rows were removed from Postgres are only in another lake",
            "Set PROMPT_STATS_LAKE_URI to that lake. To give up these days instead, delete them from"
            " stats_expired_day",
        )


def _take_over(database: Database, table: DailyTable) -> None:
    """Empties all days except expired ones, under a new identity.

    The database is changed first. After a crash in between, the lake is unchanged, and this is repeated.
    """
    _sign_commits(database, table, _random())
    with database.engine.begin() as connection:
        expired = source.expired_days(connection)
        source.renumber(connection, source.take_snapshot(connection), database.names)
    days = set(table.days()["day"]) - expired.keys()
    if days:
        table.replace(days, table.schema.empty_table())
    else:
        # To have the new identity in the log.
        table.append(table.schema.empty_table())
    forget_other_tokens(database, table)


def _sign_commits(database: Database, table: DailyTable, lake_id: int) -> None:
    def sign() -> list[Transaction]:
        token = _random()
        # An intent: after a crash before the commit the database knows a token too many, never one too few.
        with database.engine.begin() as connection:
            server = source.take_snapshot(connection).server
            connection.execute(insert(stats_lake_token).values(lake_id=lake_id, token=token, server=server))
        return [Transaction(OWNER, lake_id), Transaction(WRITER, token)]

    table.sign = sign


def forget_other_tokens(database: Database, table: DailyTable) -> bool:
    """Forgets all tokens except the lake's latest: those of older or missing commits and of other lakes.

    Publishing from this lake settles notes that another lake would still need. Returns whether there were
    any such tokens.
    """
    others = delete(stats_lake_token)
    token = table.transaction(WRITER)
    with database.engine.begin() as connection:
        forgotten = connection.execute(
            others if token is None else others.where(stats_lake_token.c.token != token)
        )
        return forgotten.rowcount > 0


def _random() -> int:
    """A number that fits a signed bigint."""
    return secrets.randbits(63)
