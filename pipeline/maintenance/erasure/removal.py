"""Removes a person from tables, journals and logs."""

from __future__ import annotations

import mmap
import re
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Text, cast, delete

from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.errors import TableLockedError, readable
from pipeline.maintenance.erasure.person import Person
from pipeline.maintenance.erasure.search import Found, Unread, files_of
from pipeline.tracking import journal
from pipeline.tracking.tracker import JOURNAL_BYTES

LOGS = (".log", ".out", ".err")
"""Endings of the logs of the embedded server and of Dagster's runs."""

HELD_SECONDS = 10.0
"""How long a tracker that is sending its journal is waited for."""

CLEANED = (
    tables.prompt_usage,
    tables.prompt_favorites,
    tables.prompt_usage_rejected,
    tables.user_prompt_stats,
    tables.prompt_error_stats,
    tables.prompt_value_error_stats,
)
"""Tables that may have held the person's rows or texts."""


def delete_waiting(folder: Path | None, person: Person) -> tuple[int, Unread]:
    """Deletes the person's events from a tracker's journal: they would come back when it is sent.

    Returns how many, and why it was not possible.
    """
    if folder is None or not (folder / journal.FILE).is_file():
        return 0, {}
    if owner := journal.other_owner(folder):
        return 0, {str(folder / journal.FILE): f"it belongs to {owner}: run it as {owner}"}
    pattern = re.compile(person.in_event.encode())
    try:
        with closing(journal.Journal(folder, JOURNAL_BYTES)) as waiting:
            removed = waiting.forget(lambda record: bool(pattern.search(record)), HELD_SECONDS)
    except (OSError, sqlite3.Error) as error:
        return 0, {str(folder / journal.FILE): readable(error)}
    if removed is None:
        return 0, {str(folder / journal.FILE): "a tracker is sending it: run it again once that is done"}
    return removed, {}


def delete_rows(database: Database, person: Person) -> Found:
    """Deletes the person's events, favourites and rejected events; returns how many, by table."""
    rejected = cast(tables.prompt_usage_rejected.c.payload, Text)
    conditions = {
        tables.prompt_usage: person.is_in(tables.prompt_usage.c.user_id),
        tables.prompt_favorites: person.is_in(tables.prompt_favorites.c.user_id),
        tables.prompt_usage_rejected: rejected.regexp_match(person.in_event),
    }
    rows = {}
    with database.engine.begin() as connection:
        for table, condition in conditions.items():
            rows[table.name] = connection.execute(delete(table).where(condition)).rowcount
    return rows


def delete_stats(database: Database, person: Person) -> None:
    """Deletes what is published of the person, if anything still is."""
    table = tables.user_prompt_stats
    with database.engine.begin() as connection:
        connection.execute(delete(table).where(person.is_in(table.c.user_id)))


def vacuum(database: Database) -> Unread:
    """Removes dead rows, and their values from the planner's statistics; why it could not, by table."""
    said: dict[str, str] = {}
    with database.connect(autocommit=True) as connection:
        for table in CLEANED:
            notices: list[str] = []

            def note(diagnostic: Any, notices: list[str] = notices) -> None:
                notices.append(str(diagnostic.message_primary))

            connection.add_notice_handler(note)
            try:
                connection.execute(f"VACUUM (ANALYZE) {database.names.qualified(table.name)}".encode())
            except (psycopg.Error, TableLockedError) as error:
                notices.append(readable(error))
            connection.remove_notice_handler(note)
            if notices:
                said[table.name] = notices[0]
    return said


def blank_logs(folders: Collection[Path], lake: str, person: Person) -> int:
    """Overwrites the id in the logs of the embedded server and of Dagster's runs; returns how often.

    In place and of the same length, since their writers go on writing. What can't be is found by the search.
    """
    count = 0
    for path in files_of(folders, lake):
        if path.suffix not in LOGS:
            continue
        try:
            count += _blank(path, person)
        except OSError:
            continue
    return count


def _blank(path: Path, person: Person) -> int:
    if not path.stat().st_size:
        return 0
    key = person.key.encode()
    mention = re.compile(person.mention.encode())
    spellings = [each.encode() for each in person.spellings]
    if person.kind == "text" and person.is_distinctive:
        # This very spelling: another one may be another person's.
        mention = re.compile(b"(?<![0-9A-Za-z_-])%b(?![0-9A-Za-z_-])" % re.escape(key))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        spans = [match.span() for match in mention.finditer(content)]
        for start, end in spans:
            found = content[start:end]
            for meant in [found] if person.is_distinctive else spellings:
                found = found.replace(meant, b"x" * len(meant))
            content[start:end] = found
    return len(spans)
