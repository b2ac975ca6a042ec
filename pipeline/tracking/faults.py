"""Decides by the SQLSTATE why an event could not be written. This is the only place that sorts them.

https://www.postgresql.org/docs/current/errcodes-appendix.html lists them.
"""

from __future__ import annotations

from collections.abc import Container
from enum import Enum

import psycopg


class Fault(Enum):
    """What happens to an event that could not be written."""

    EVENT = "The event can't be accepted. It is rejected, and stored as such."
    TABLE = "The table accepts no events at present. All of them are kept until somebody fixes that."
    OUTAGE = "The fault is transient, so the event is tried again."


OUTAGES = (
    "08",  # connection exception
    "25006",  # read-only transaction: a replica, or a primary that became one
    "25P03",  # the session was idle in a transaction for too long
    "25P04",  # the transaction took too long
    "28",  # invalid authorization: the password is being changed
    "3D",  # there is no such database, as while one is being restored
    "40",  # transaction rollback: serialization failure, deadlock
    "53",  # insufficient resources: disk, memory, connections
    "55006",  # object in use
    "55P03",  # lock not available
    "57",  # operator intervention: shutdown, a cancelled statement
    "58",  # system error
    "72",  # snapshot too old
    "F0",  # configuration file
    "HV00N",  # a foreign server that a trigger writes to does not answer
)
"""Prefixes of transient faults."""

FAULTS_OF_TABLE = (
    *("00", "01", "02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "24", "25", "26"),
    *("27", "2B", "2D", "2F", "34", "36", "38", "39", "3B", "3F", "42", "54", "55", "HV", "XX"),
    "22P04",  # bad COPY file format
)
"""Beginnings of what is wrong with the statement, the table, its triggers or the rights, for any event."""

FAULTS_OF_EVENT = (
    "54000",  # a text that is too long for the app's index
)
"""States that are caused by the event although their class is not."""

NOT_NULL_VIOLATION = "23502"


def fault_of(error: Exception, foreign_columns: Container[str] = ()) -> Fault:
    """Whose fault an error is. ``foreign_columns``: those of the table that no event has.

    A state of a class that Postgres does not have is a trigger's own: it objects to the event.
    """
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    if not state:
        return _fault_without_state(error)
    if state == NOT_NULL_VIOLATION and isinstance(error, psycopg.Error):
        return Fault.TABLE if error.diag.column_name in foreign_columns else Fault.EVENT
    if state.startswith(OUTAGES):
        return Fault.OUTAGE
    return Fault.TABLE if state.startswith(FAULTS_OF_TABLE) and state not in FAULTS_OF_EVENT else Fault.EVENT


def _fault_without_state(error: Exception) -> Fault:
    """Of an error that the server did not send."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Fault.OUTAGE
    # A value that can't be sent; anything else is ours.
    return Fault.EVENT if isinstance(error, psycopg.DataError | UnicodeError) else Fault.TABLE


def said_by(error: Exception) -> str:
    """What is wrong, without the row that it is about."""
    return (error.diag.message_primary if isinstance(error, psycopg.Error) else None) or str(error)
