"""Examines the server: our role, time zones, clocks, open transactions, and the search path."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import RowMapping, text

from pipeline.adoption.schema import CONVERT, NO_ENCODING, SQL_ASCII, VERSION_TABLE
from pipeline.database.connections import Fault, driver_of, require_own_session
from pipeline.database.queries import query
from pipeline.database.sessions import connect_plainly
from pipeline.database.tables import prompt_usage
from pipeline.errors import DatabaseError
from pipeline.health.checks import clocks
from pipeline.health.checks.report import WORST
from pipeline.health.doctor.findings import Finding, ok, warning, wrong
from pipeline.health.doctor.setup import Setup

SERVER = text(query("health/server"))
TABLE_SCHEMAS = text(query("health/table_schemas"))
OPEN_TRANSACTIONS = text(query("operations/open_transactions"))

NAMES_OF_UTC = {"UTC", "Etc/UTC", "GMT", "Etc/GMT"}
WITHOUT_ZONE = "timestamp without time zone"


def connection(setup: Setup) -> Iterator[Finding]:
    """Where the server is, and whether it accepts changes."""
    seen, given = _server(setup), conninfo_to_dict(setup.database.conninfo)
    where = f"{given.get('host') or 'this machine'}:{given.get('port') or 5432}/{seen['database_name']}"
    if seen["is_read_only"]:
        yield wrong(
            "connection",
            f"{where} accepts no changes: it is a standby, or default_transaction_read_only is on",
            Fault.READ_ONLY.value,
        )
    else:
        yield ok("connection", f"{seen['role_name']} at {where}, PostgreSQL {seen['version']}")


def sessions(setup: Setup) -> Iterator[Finding]:
    """What our sessions are is set and verified when they are opened; but each has to stay ours."""
    with setup.database.engine.connect() as opened:
        driver = driver_of(opened)
        try:
            require_own_session(driver)
        except DatabaseError as error:
            yield wrong("sessions", error.wrong, error.remedy)
            return
        encoding = driver.info.parameter_status("server_encoding")
    if encoding == SQL_ASCII:
        yield wrong("sessions", NO_ENCODING, CONVERT)
    else:
        yield ok(
            "sessions", f"they use UTC and UTF-8, the database {encoding}; no timeout ends a waiting session"
        )


def time_zone(setup: Setup) -> Iterator[Finding]:
    """If the app's times have no zone, sessions of others have to be in UTC."""
    seen = _server(setup)
    others = _zone_of_others(setup)
    if others not in NAMES_OF_UTC and seen["created_at_type"] == WITHOUT_ZONE:
        yield warning(
            "time zone",
            f"created_at of prompt_usage has no zone and is read as UTC, but other sessions are in {others}:"
            " what they write with now() counts at the wrong hour",
            f"Unless the app asks for UTC: ALTER DATABASE \"{seen['database_name']}\" SET timezone = 'UTC'",
        )
    else:
        yield ok("time zone", f"our sessions are in UTC, others in {others}")


def _zone_of_others(setup: Setup) -> str:
    """The time zone of sessions that do not ask for one."""
    with connect_plainly(setup.database.conninfo) as plain:
        [(zone,)] = plain.execute("SHOW TimeZone").fetchall()
    return str(zone)


def clock(setup: Setup) -> Iterator[Finding]:
    """Compares the server's clock with this machine's."""
    before = dt.datetime.now(dt.UTC)
    read_at = _server(setup)["read_at"]
    after = dt.datetime.now(dt.UTC)
    skew = clocks.skew_of(before, read_at, after)
    if skew > clocks.LARGEST_SKEW:
        which = "ahead of" if read_at > after else "behind"
        yield warning(
            "clock",
            f"the server's clock is {skew.total_seconds():,.0f} s {which} this machine's",
            "Synchronise both over the network (NTP)",
        )
    else:
        yield ok("clock", "the server's clock and this machine's agree")


def search_path(setup: Setup) -> Iterator[Finding]:
    """Where the tables are, and whether unqualified names lead there."""
    seen = _server(setup)
    role, database = seen["role_name"], seen["database_name"]
    with setup.database.engine.connect() as opened:
        names = {"names": [prompt_usage.name, VERSION_TABLE]}
        found = opened.execute(TABLE_SCHEMAS, names).mappings().all()
    reached = sorted(row["schema_name"] for row in found if row["is_usable"] and row["is_searched"])
    if not found and seen["schema_name"]:
        yield ok("search path", f"there are no tables yet; new ones will be in {seen['schema_name']}")
    elif reached:
        yield ok("search path", f"the tables are in the schema {', '.join(reached)}")
    elif not found:
        yield wrong(
            "search path",
            "it names no existing schema that the role may use",
            f'Name one: ALTER ROLE "{role}" IN DATABASE "{database}" SET search_path = …',
        )
    for row in [] if reached else found:
        schema = row["schema_name"]
        if not row["is_usable"]:
            yield wrong(
                "search path",
                f"the tables are in the schema {schema}, which the role may not use",
                f'As its owner: GRANT USAGE ON SCHEMA "{schema}" TO "{role}"',
            )
        if not row["is_searched"]:
            yield wrong(
                "search path",
                f"the tables are in the schema {schema}, which is not in the search path",
                f'Set PROMPT_STATS_TABLES="schema={schema}", wherever prompt-stats runs'
                if setup.database.names.schema is None
                else f"Put schema={schema} into PROMPT_STATS_TABLES, wherever prompt-stats runs",
            )


def transactions(setup: Setup) -> Iterator[Finding]:
    """Open transactions that have written something: events that came after them can't be counted yet."""
    with setup.database.engine.connect() as opened:
        found = opened.execute(OPEN_TRANSACTIONS).mappings().all()
    long = [row for row in found if row["open_for"] and row["open_for"] > clocks.WRITES_LONG]
    yield from map(judge_open, long[:WORST])
    if not _server(setup)["sees_transactions"]:
        yield warning(
            "transactions",
            "this role may not see how long transactions of other roles are open, so as_of waits for them",
            f'As a superuser: GRANT pg_read_all_stats TO "{_server(setup)["role_name"]}"',
        )
    elif not long:
        yield ok("transactions", "none that has written something stays open")


def judge_open(row: Mapping[Any, Any]) -> Finding:
    """From a row of ``sql/operations/open_transactions.sql``."""
    since = f"for {dt.timedelta(seconds=round(row['open_for'].total_seconds()))}"
    if row["pid"] is None:
        return warning(
            "transactions",
            f"{row['application_name']!r} of {row['role']} is prepared {since}: later events are not counted",
            f"Commit it, or in the database {row['database']}: ROLLBACK PREPARED '{row['application_name']}'",
        )
    return warning(
        "transactions",
        f"pid {row['pid']} of {row['role']} ({row['application_name'] or 'unnamed'}, {row['state']}) has"
        f" written and is open {since}: later events are not counted",
        f"Ask its owner to end it; if nobody does: SELECT pg_terminate_backend({row['pid']})",
    )


def _server(setup: Setup) -> RowMapping:
    with setup.database.engine.connect() as opened:
        return opened.execute(SERVER).mappings().one()
