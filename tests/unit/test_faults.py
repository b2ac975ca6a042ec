"""Whose fault it is that an event could not be written: every SQLSTATE that Postgres has is sorted."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg import errors
from psycopg.errors import lookup

from pipeline.tracking.faults import Fault, fault_of

EVENT, TABLE, OUTAGE = Fault.EVENT, Fault.TABLE, Fault.OUTAGE

# By class, as in the appendix of Postgres' documentation, then the states that are unlike their class.
CLASSES = {
    "02": TABLE,  # no data
    "03": TABLE,  # SQL statement not yet complete
    "08": OUTAGE,  # connection exception
    "09": TABLE,  # triggered action exception
    "0A": TABLE,  # feature not supported
    "0B": TABLE,  # invalid transaction initiation
    "0F": TABLE,  # locator exception
    "0L": TABLE,  # invalid grantor
    "0P": TABLE,  # invalid role specification
    "0Z": TABLE,  # diagnostics exception
    "10": TABLE,  # XQuery error
    "20": TABLE,  # case not found
    "21": TABLE,  # cardinality violation
    "22": EVENT,  # data exception
    "23": EVENT,  # integrity constraint violation
    "24": TABLE,  # invalid cursor state
    "25": TABLE,  # invalid transaction state
    "26": TABLE,  # invalid SQL statement name
    "27": TABLE,  # triggered data change violation
    "28": OUTAGE,  # invalid authorization specification
    "2B": TABLE,  # dependent privilege descriptors still exist
    "2D": TABLE,  # invalid transaction termination
    "2F": TABLE,  # SQL routine exception
    "34": TABLE,  # invalid cursor name
    "38": TABLE,  # external routine exception
    "39": TABLE,  # external routine invocation exception
    "3B": TABLE,  # savepoint exception
    "3D": OUTAGE,  # invalid catalog name
    "3F": TABLE,  # invalid schema name
    "40": OUTAGE,  # transaction rollback
    "42": TABLE,  # syntax error or access rule violation
    "44": EVENT,  # with check option violation
    "53": OUTAGE,  # insufficient resources
    "54": TABLE,  # program limit exceeded
    "55": TABLE,  # object not in prerequisite state
    "57": OUTAGE,  # operator intervention
    "58": OUTAGE,  # system error
    "72": OUTAGE,  # snapshot failure
    "F0": OUTAGE,  # configuration file error
    "HV": TABLE,  # foreign data wrapper error
    "P0": EVENT,  # PL/pgSQL error
    "XX": TABLE,  # internal error
}
EXCEPTIONS = {
    "22P04": TABLE,  # bad COPY file format
    "25006": OUTAGE,  # read-only transaction
    "25P03": OUTAGE,  # idle in transaction timeout
    "25P04": OUTAGE,  # transaction timeout
    "54000": EVENT,  # a text that an index can't hold
    "55006": OUTAGE,  # object in use
    "55P03": OUTAGE,  # lock not available
    "HV00N": OUTAGE,  # unable to establish connection
}
STATES = sorted(
    {
        error.sqlstate
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, psycopg.Error) and isinstance(error.sqlstate, str)
    }
)


def test_the_states_are_those_that_there_are() -> None:
    assert len(STATES) > 250
    assert {state[:2] for state in STATES} == CLASSES.keys()
    assert EXCEPTIONS.keys() <= {*STATES, "25P04"}


@pytest.mark.parametrize("state", STATES)
def test_each_state_is_sorted(state: str) -> None:
    assert re.fullmatch("[0-9A-Z]{5}", state)
    assert fault_of(lookup(state)()) is EXCEPTIONS.get(state, CLASSES[state[:2]])


@pytest.mark.parametrize("state", ["45000", "U0001", "99999"])
def test_a_state_that_postgres_does_not_have_is_an_objection_to_the_event(state: str) -> None:
    class OfTrigger(psycopg.DatabaseError):
        sqlstate = state

    assert fault_of(OfTrigger()) is EVENT


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (psycopg.OperationalError("connection refused"), OUTAGE),
        (psycopg.InterfaceError("the connection is closed"), OUTAGE),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), EVENT),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), EVENT),
        (psycopg.ProgrammingError("can't adapt type"), TABLE),
        (ZeroDivisionError(), TABLE),
    ],
)
def test_an_error_without_a_state_is_sorted_by_its_kind(error: Exception, fault: Fault) -> None:
    assert fault_of(error) is fault
