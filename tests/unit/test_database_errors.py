"""Errors of the database: which pass by themselves, and what each comes from."""

from __future__ import annotations

import adbc_driver_manager
import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from pipeline.database.connections import Fault, bulk_error, fault_of, is_transient
from pipeline.errors import DatabaseError, DatabaseUnavailableError


def of_adbc(kind: type[adbc_driver_manager.Error], said: str, sqlstate: str | None) -> Exception:
    status = adbc_driver_manager.AdbcStatusCode.UNKNOWN
    return kind(said, status_code=status, sqlstate=sqlstate)


@pytest.mark.parametrize(
    ("error", "expected", "passes"),
    [
        (psycopg.OperationalError("connection refused"), Fault.OUTAGE, True),
        (errors.AdminShutdown(), Fault.OUTAGE, True),
        (errors.QueryCanceled(), Fault.OUTAGE, False),
        (errors.DiskFull(), Fault.OUTAGE, False),
        (errors.ReadOnlySqlTransaction(), Fault.READ_ONLY, False),
        (errors.InsufficientPrivilege(), Fault.RIGHT, False),
        (errors.UndefinedTable(), Fault.SCHEMA, False),
        (errors.UndefinedColumn(), Fault.SCHEMA, False),
        (errors.UndefinedFunction(), Fault.PROGRAM, False),
        (errors.CheckViolation(), Fault.PROGRAM, False),
        (errors.UntranslatableCharacter(), Fault.TEXT, False),
        (psycopg.ProgrammingError("the last operation didn't produce a result"), Fault.PROGRAM, False),
        (of_adbc(adbc_driver_manager.OperationalError, "failed to connect", None), Fault.OUTAGE, True),
        (of_adbc(adbc_driver_manager.ProgrammingError, "", "42501"), Fault.RIGHT, False),
        (of_adbc(adbc_driver_manager.ProgrammingError, "", "42883"), Fault.PROGRAM, False),
    ],
)
def test_each_error_comes_from_something(error: Exception, expected: Fault, *, passes: bool) -> None:
    for raised in (error, DBAPIError("SELECT", {}, error)):
        assert fault_of(raised) is expected
        assert is_transient(raised) is passes


@pytest.mark.parametrize(
    ("kind", "said", "sqlstate", "expected"),
    [
        (
            adbc_driver_manager.ProgrammingError,
            "UNAUTHORIZED: [libpq] Failed: ERROR:  permission denied for table posts\n. SQLSTATE: 42501",
            "42501",
            DatabaseError("Reading", "permission denied for table posts", Fault.RIGHT.value),
        ),
        (
            adbc_driver_manager.OperationalError,
            "IO: [libpq] Failed to connect: FATAL: the database\nsystem starts",
            None,
            DatabaseUnavailableError(
                "Reading",
                "IO: [libpq] Failed to connect: FATAL: the database system starts",
                Fault.OUTAGE.value,
            ),
        ),
    ],
)
def test_an_error_of_a_bulk_read_is_one_of_ours(
    kind: type[adbc_driver_manager.Error], said: str, sqlstate: str | None, expected: DatabaseError
) -> None:
    made = bulk_error(
        kind(said, status_code=adbc_driver_manager.AdbcStatusCode.UNKNOWN, sqlstate=sqlstate), "Reading"
    )
    assert type(made) is type(expected)
    assert str(made) == str(expected)
