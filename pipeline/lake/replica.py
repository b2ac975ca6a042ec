"""Waits until the replica has the events that will be read from it.

The watermark is taken on the primary: all transactions below it have ended. Each committed transaction wrote
its commit record before it ended, so before any position of the log that is requested after the watermark. A
replica that has replayed up to that position shows all of these transactions. It may also show later ones, as
the primary would to a later statement (``pipeline.lake.source``).
"""

from __future__ import annotations

import logging
import time

from sqlalchemy import Connection, RowMapping, text

from pipeline.database.connections import Database
from pipeline.database.conninfo import READ_URL
from pipeline.database.queries import query
from pipeline.errors import DatabaseError, DatabaseUnavailableError
from pipeline.lake.source import Snapshot

logger = logging.getLogger(__name__)

WRITTEN_POSITION = text(query("lake/written_position"))
REPLICA_STATE = text(query("lake/replica_state"))

WAIT_SECONDS = 60.0
"""How long to wait for a replica. After that, Dagster retries the step of a run."""
LOOK_EVERY_SECONDS = 0.1

ATTEMPTED = f"Reading events from the replica in {READ_URL}"


def written_position(connection: Connection) -> str:
    """The current position of the primary's log. Request it after the watermark."""
    return str(connection.execute(WRITTEN_POSITION).scalar_one())


def wait_for_replica(replica: Database, snapshot: Snapshot, position: str) -> None:
    """Waits until the replica shows all transactions below a watermark that was taken before ``position``.

    :raises DatabaseUnavailableError: it does not answer, or is still behind after :data:`WAIT_SECONDS`.
    :raises DatabaseError: it is no replica of the server of the snapshot.
    """
    replica.check(READ_URL)
    deadline = time.monotonic() + WAIT_SECONDS
    with replica.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_said = False
        while True:
            state = connection.execute(REPLICA_STATE, {"position": position}).mappings().one()
            _require_replica(state, snapshot.server)
            if state["bytes_behind"] <= 0:
                return
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    ATTEMPTED,
                    f"after {WAIT_SECONDS:g} s it is still {_behind(state)}",
                    f"Run the command again when the replica has caught up, or unset {READ_URL}",
                )
            if not is_said:
                logger.info("waiting for the replica, which is %s", _behind(state))
                is_said = True
            time.sleep(LOOK_EVERY_SECONDS)


def _behind(state: RowMapping) -> str:
    said = f"{state['bytes_behind']:,} bytes of the log behind its primary"
    if state["seconds_behind"] is not None:
        said += f", its last transaction {state['seconds_behind']:,.0f} s old"
    return f"{said}, and its replay is paused" if state["is_paused"] else said


def _require_replica(state: RowMapping, server: str) -> None:
    if state["server"] != server:
        raise DatabaseError(
            ATTEMPTED,
            f"it is not a replica of the database in DATABASE_URL: its cluster and database are"
            f" {state['server']}, but the primary's are {server}",
            "Name a streaming replica of that server, and the same database",
        )
    if not state["is_replica"]:
        raise DatabaseError(
            ATTEMPTED,
            "it is not in recovery, so it is the primary itself, or was promoted",
            f"Unset {READ_URL} to read from the primary, or name a streaming replica",
        )
    if state["bytes_behind"] is None:
        raise DatabaseError(
            ATTEMPTED,
            "it does not say how far it has replayed its primary's log",
            f"Name a streaming replica, or unset {READ_URL}",
        )
