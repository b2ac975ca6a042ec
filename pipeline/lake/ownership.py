"""Whose the lake is. A lake belongs to one database, and whoever else comes is refused.

Both keep a random identity (``lake_id``), and every commit of ``usage_events`` carries a random token that
the database records before: ``stats_lake_token``. In the lake both are versions of Delta's application
transactions, so they are read from the log, and survive its checkpoints.
https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers

A database that knows the lake's latest token has all that the lake rests on. One that does not went back in
time: a data folder that was put back, a recovery, a standby that was promoted without the last transactions.
docs/decisions/0015-lake-ownership.md has each state and what happens in it.
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
    """What a database is to a lake that it may use."""

    UNOWNED = "the lake is empty and belongs to nobody yet"
    KNOWN = "the lake is as this database knows it"
    UNKNOWN = "the lake has commits that this database does not know: it went back in time"


def identify(connection: Connection, table: DailyTable) -> Ownership:
    """What the database is to the lake; ``table``: its ``usage_events``. Reads the log and two small tables.

    :raises LakeOwnerError: the lake is another database's, or this one's lake is elsewhere.
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
    """Has the database know each commit to the table, ``usage_events``. Hold ``Lock.LAKE``.

    A lake of nobody's becomes this database's. One that has commits which the database does not know is made
    to fit: its days are emptied, but for expired ones, to be read again, and it gets a new identity, so that
    whoever made those commits is refused, should it still be there.

    :raises LakeOwnerError: the lake is another's.
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
    """Makes the database the owner of the lake; returns whether it was not before. Hold ``Lock.LAKE``.

    All but expired days is read again by the next refresh; the former owner is refused from now on.
    ``discard``: also of a lake of which this database knows nothing; what that holds is given up. And expired
    days that are not as they were are taken as the lake has them.

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
    """Whether the lake was that of the database of which this one is a copy."""
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
    """Empties all but expired days, under a new identity.

    The database first: after a crash in between the lake is as before, and this happens again.
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
    """Forgets all tokens but the lake's latest: older commits, those that were never made, other lakes.

    What is published from this lake settles notes that another one would still need. Returns whether there
    were any.
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
