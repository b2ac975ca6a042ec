"""Tries a write-back and an insert in transactions that are rolled back, to see what the app's triggers do.

A trigger may call functions that call others, so nobody can tell by reading. Its effects outside of the
transaction, such as numbers taken from a sequence, stay.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import psycopg
from sqlalchemy import Connection, Result, text
from sqlalchemy.exc import DBAPIError

from pipeline.adoption.catalog import quoted
from pipeline.adoption.triggers import ASSIGNING
from pipeline.database.connections import cause_of, driver_of
from pipeline.database.queries import query
from pipeline.errors import TableLockedError, readable
from pipeline.health.checks.report import plural
from pipeline.health.doctor.findings import Finding, ok, warning
from pipeline.health.doctor.rights import written_back
from pipeline.health.doctor.setup import Setup
from pipeline.names import TableNames
from pipeline.publish.copy import copy_frame
from pipeline.publish.write_back import COLUMNS, CREATE_PROMPTS_CHANGED, write_changed
from pipeline.tracking.event import Event, new_id
from pipeline.tracking.fitting import fitted
from pipeline.tracking.usage_table import usage_table

UPDATE_TRIGGERS = text(query("health/update_triggers"))
PROMPT_TO_TRY = text(query("health/prompt_to_try"))
TRIGGERS_AFTER_OURS = text(query("health/triggers_after_ours"))
CHANGED_TABLES = text(query("health/changed_tables"))

NAME = "the app's triggers"
IS_NUMBERED = "ingest_xid IS NOT DISTINCT FROM pg_current_xact_id()::text::bigint"
LIMITS = "SET LOCAL lock_timeout = '500ms'", "SET LOCAL statement_timeout = '5s'"

Row = Mapping[str, Any]


def triggers(setup: Setup) -> Iterator[Finding]:
    """What a write-back changes besides the counters, or keeps from being written."""
    if not setup.database.write_back:
        yield ok(NAME, "nothing is written back (PROMPT_STATS_WRITE_BACK=off)")
        return
    names = setup.database.names
    counters = {names.column("prompts", column) for column in written_back()}
    with setup.database.engine.connect() as connection:
        given = {"table": names.qualified("prompts"), "columns": sorted(counters)}
        found = connection.execute(UPDATE_TRIGGERS, given).scalars().all()
        connection.rollback()
        try:
            tried = _try(connection, names)
        except (DBAPIError, TableLockedError) as error:
            yield warning(
                NAME,
                f"a write-back of one prompt's counters failed: {readable(cause_of(error))}",
                f"Fix that, or no refresh can publish; a write-back fires {', '.join(found) or 'no trigger'}",
            )
            return
        finally:
            connection.rollback()
    if tried is None:
        yield ok(NAME, "there is no prompt to try a write-back with; run the doctor again when there is one")
        return
    before, after, tables = tried
    others = sorted(name for name in before if before[name] != after.get(name) and name not in counters)
    kept = sorted(name for name in counters & before.keys() if before[name] == after.get(name))
    said = [
        *([f"changes {', '.join(others)} of the prompt"] if others else ()),
        *([f"leaves {', '.join(kept)} as it was"] if kept else ()),
        *([f"writes to {', '.join(tables)}"] if tables else ()),
    ]
    if said:
        yield warning(
            NAME,
            f"a write-back of counters also {' and '.join(said)}: {', '.join(found) or 'a rule'} did it",
            "Let them fire only for the app's columns: BEFORE UPDATE OF name, template, …",
        )
    else:
        yield ok(
            NAME, f"a write-back changes nothing else: tried with one prompt, {plural(len(found), 'trigger')}"
        )


def numbering(setup: Setup) -> Finding | None:
    """Which triggers take from an inserted row the id by which it is found; None: none does."""
    names = setup.database.names
    with setup.database.engine.connect() as connection:
        given = {"table": names.qualified("prompt_usage"), "ours": ASSIGNING}
        after = ", ".join(connection.execute(TRIGGERS_AFTER_OURS, given).scalars())
        if not after:
            return None
        try:
            is_kept = _insert(connection)
        except (DBAPIError, TableLockedError, psycopg.Error) as error:
            said, is_kept = f"and an insert to try that failed: {readable(cause_of(error))}", None
        else:
            said = "and there is no prompt to try an insert with"
        finally:
            connection.rollback()
    if is_kept:
        return None
    if is_kept is None:
        return warning(
            "changes",
            f"{after} may change the ingest_xid of new rows of prompt_usage, {said}",
            f"Make sure that it leaves ingest_xid alone, or give it a name that sorts before {ASSIGNING}",
        )
    return warning(
        "changes",
        "an inserted row of prompt_usage does not keep its ingest_xid, by which a refresh finds it:"
        f" {after} fires after ours",
        f"Change it to leave ingest_xid alone, or give it a name that sorts before {ASSIGNING}; then run:"
        " prompt-stats reconcile",
    )


def _insert(connection: Connection) -> bool | None:
    """Whether a new row has the id of its transaction; None without a prompt to use."""
    for limit in LIMITS:
        connection.execute(text(limit))
    prompt = connection.execute(PROMPT_TO_TRY).one_or_none()
    if prompt is None:
        return None
    session = driver_of(connection)
    table = usage_table(session)
    event = Event(event_id=new_id(), created_at=dt.datetime.now(dt.UTC))
    values = fitted(event, table).of_prompt(prompt.prompt_id).values
    cursor = session.execute(f"{table.statements(values).insert} RETURNING {IS_NUMBERED}".encode(), values)
    row = cursor.fetchone()
    # A trigger that skips the row leaves nothing to be found.
    return row is None or bool(row[0])


def _try(connection: Connection, names: TableNames) -> tuple[Row, Row, list[str]] | None:
    """The row of a prompt before and after a write-back, and the other tables with changed rows."""
    for limit in LIMITS:
        connection.execute(text(limit))
    prompt = connection.execute(PROMPT_TO_TRY).one_or_none()
    if prompt is None:
        return None
    table = names.qualified("prompts")
    is_readable = "SELECT has_table_privilege(:table, 'SELECT')"
    if not connection.execute(text(is_readable), {"table": table}).scalar_one():
        # The role has rights on our view of it alone.
        names, table = TableNames(), quoted("prompts")
    key = quoted(names.column("prompts", "id"))
    # Texts: JSON of the app may hold more than Python reads.
    row = text(
        "SELECT field.key, field.value::text AS value"  # noqa: S608  # quoted
        f" FROM {table} AS prompt CROSS JOIN jsonb_each(to_jsonb(prompt)) AS field"
        f" WHERE prompt.{key}::text = :id"
    )
    given = {"id": prompt.prompt_id}
    before: Row = _values(connection.execute(row, given))
    as_of: dt.datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    values = {name: _another(value) for name, value in prompt._mapping.items() if name in COLUMNS}
    values |= {"id": prompt.prompt_id, "last_used_at": as_of}
    connection.execute(CREATE_PROMPTS_CHANGED)
    copy_frame(connection, "prompts_changed", pl.DataFrame([values], schema_overrides=COLUMNS))
    write_changed(connection, 1, as_of)
    # Those that are deferred fire too.
    connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    after: Row = _values(connection.execute(row, given))
    own = connection.execute(text("SELECT to_regclass(:table)::text"), {"table": table}).scalar_one()
    tables = [name for name in connection.execute(CHANGED_TABLES).scalars() if name != own]
    return before, after, tables


def _values(found: Result[Any]) -> Row:
    return {row.key: row.value for row in found}


def _another(value: Any) -> Any:
    """A counter that differs, and fits wherever this one did."""
    return value - 1 if isinstance(value, int | float) and value else 1
