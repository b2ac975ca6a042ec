"""Reads what it can from a damaged journal. ``send-journal`` copies it, and keeps the damaged file.

It reads only rows that the table still reaches. Other data in the file may belong to events that were sent
long ago, or to people who were erased since.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import fasteners

from pipeline.files import NO_LINK, PRIVATE_FILE
from pipeline.tracking.journal import COMPANIONS, FILE, LOCK, require_files
from pipeline.tracking.journal_schema import (
    CREATE,
    NotAJournalError,
    connect,
    limit_seconds,
    limited,
    require_schema,
)

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""Codes of errors that another attempt meets again: the file, or its table, is not what we wrote."""

LARGEST_NUMBER = 2**62
"""Numbers beyond it leave no room for others."""

ROW_BYTES = 16
"""A row takes more."""

KINDS = "SELECT type FROM pragma_table_list('waiting') WHERE schema = 'main'"
SHAPE = "SELECT name, type = 'INTEGER' AND pk = 1 FROM pragma_table_xinfo('waiting') WHERE hidden = 0"
COLUMNS = "SELECT number, accepted_at, record FROM waiting"
LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'waiting'"
FOUND = "CREATE TABLE found (number INTEGER PRIMARY KEY, accepted_at, record)"
IN_ORDER = "INSERT INTO waiting (accepted_at, record) SELECT accepted_at, record FROM found ORDER BY number"


@dataclass(frozen=True)
class Rescue:
    """What happened to a damaged journal."""

    reason: str
    """What is wrong with it."""
    kept: Path
    """The damaged file under its present name."""
    read: int
    """Events that could be read, and wait in the new journal."""
    missing: int | None
    """Events that could not, at least, by the gaps in their numbers; None: nothing is known."""


def rescue(folder: Path) -> Rescue | None:
    """Makes the journal readable if it is not; None: it is, or another process is sending it.

    :raises OSError: a file can't be read or written.
    :raises sqlite3.Error: the same, or one of the files is no regular file.
    """
    require_files(folder)
    file = folder / FILE
    lock = fasteners.InterProcessLock(folder / LOCK)
    if not file.exists() or not lock.acquire(blocking=False):
        return None
    try:
        reason = _fault(file)
        return _renewed(file, reason) if reason else None
    finally:
        lock.release()


def _fault(file: Path) -> str | None:
    """What is wrong with a journal for good.

    :raises sqlite3.Error: something else is wrong: its permissions, or the disk.
    """
    try:
        with closing(_open(file)) as journal, limited(journal, limit_seconds(file)):
            if not require_schema(journal):
                # Nobody has written to it.
                return None
            (said,) = journal.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                return " ".join(str(said).split())
            journal.execute(f"{COLUMNS} LIMIT 1")
            last = _last(journal)
            return None if last is None or last < LARGEST_NUMBER else "its numbers are used up"
    except NotAJournalError as error:
        return str(error)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in DAMAGE:
            raise
        return str(error)


def _open(file: Path) -> sqlite3.Connection:
    journal = connect(file)
    # As it is also if it is no UTF-8.
    journal.text_factory = lambda given: given.decode("utf-8", "backslashreplace")
    return journal


def _last(journal: sqlite3.Connection) -> int | None:
    """The largest number that was given, if that can be read."""
    try:
        row = journal.execute(LAST).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row[0] if row and isinstance(row[0], int) else None


def _renewed(file: Path, reason: str) -> Rescue:
    """A new journal in the place of the damaged one, with what can be read of that."""
    new = file.with_name(f"{FILE}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK, PRIVATE_FILE))
    with closing(sqlite3.connect(new)) as journal, journal:
        journal.execute(CREATE)
        journal.execute(FOUND)
        last = _copy(file, journal)
        (read, lowest, highest) = journal.execute(
            "SELECT count(*), min(number), max(number) FROM found"
        ).fetchone()
        journal.execute(IN_ORDER)
        journal.execute("DROP TABLE found")
    kept = file.with_name(f"{FILE}.damaged-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%fZ}")
    # Its companions first: SQLite would take them for those of the new one.
    for suffix in (*COMPANIONS, ""):
        part = file.with_name(f"{FILE}{suffix}")
        if part.exists():
            part.replace(kept.with_name(f"{kept.name}{suffix}"))
    new.replace(file)
    if last is not None and highest is not None and last < LARGEST_NUMBER:
        highest = max(last, highest)
    return Rescue(reason, kept, read, highest - lowest + 1 - read if read else None)


def _copy(file: Path, journal: sqlite3.Connection) -> int | None:
    """Copies what can be read into the table ``found``; returns the largest number that was given."""
    size_bytes = file.stat().st_size
    with closing(_open(file)) as damaged, limited(damaged, limit_seconds(file)) as is_over:
        # Has SQLite read what is left of a file that is shorter than it should be. Nothing is written to it.
        damaged.execute("PRAGMA writable_schema = ON")
        if not _is_table(damaged):
            return None
        rows = _rows(damaged, size_bytes, is_over)
        journal.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?)", rows)
        return _last(damaged)


def _is_table(damaged: sqlite3.Connection) -> bool:
    """Whether reading ``waiting`` reads rows, and computes nothing."""
    try:
        kinds = {kind for (kind,) in damaged.execute(KINDS)}
        columns = dict(damaged.execute(SHAPE).fetchall())
    except sqlite3.DatabaseError:
        return False
    # SQLite before 3.37 lists no kinds; then the key alone says that it is no view.
    return kinds <= {"table"} and {"accepted_at", "record"} <= columns.keys() and bool(columns.get("number"))


def _rows(
    damaged: sqlite3.Connection, size_bytes: int, is_over: Callable[[], bool]
) -> Iterator[tuple[int, object, object]]:
    """From the front and from the back up to what can't be read, and between them one by one."""
    lowest, highest = 0, (_last(damaged) or 0) + 1
    for row in _scanned(damaged, f"{COLUMNS} ORDER BY number"):
        lowest = row[0]
        yield row
    for row in _scanned(damaged, f"{COLUMNS} WHERE number > {lowest:d} ORDER BY number DESC"):
        highest = row[0]
        yield row
    for number in range(lowest + 1, min(highest, lowest + size_bytes // ROW_BYTES)):
        if is_over():
            return
        yield from _scanned(damaged, f"{COLUMNS} WHERE number = {number:d}")


def _scanned(damaged: sqlite3.Connection, statement: str) -> Iterator[tuple[int, object, object]]:
    """The rows up to one that can't be read."""
    try:
        for number, accepted_at, record in damaged.execute(statement):
            if not isinstance(number, int):
                # The key of another table than ours.
                return
            is_time = isinstance(accepted_at, int | float)
            yield number, accepted_at if is_time else 0, b"" if record is None else record
    except sqlite3.DatabaseError:
        return
