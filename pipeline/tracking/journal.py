"""Keeps waiting events on disk, in a SQLite database that all processes with the same folder share.

SQLite is what makes it durable: write-ahead log, and a commit waits for the disk (``synchronous = FULL``).
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import fasteners
import msgspec

from pipeline.files import private_file, private_folder
from pipeline.tracking.event import Event, Payload, Record, RejectedEvent, mended, storable
from pipeline.tracking.journal_schema import (
    CREATE,
    CREATE_UNREADABLE,
    connect,
    limit_seconds,
    limited,
    transaction,
)

logger = logging.getLogger(__name__)

FILE = "events.sqlite"
LOCK = "writing.lock"

COMPANIONS = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite puts beside it."""

ENTRY_BYTES = 16 * 2**20
"""Nothing that a tracker writes is longer. What is would take the memory of all that reads it."""

APPEND = "INSERT INTO waiting (accepted_at, record) VALUES (?, ?)"
OLDEST = """
SELECT number, CASE WHEN length(record) <= :bytes THEN record END
FROM waiting ORDER BY number LIMIT :count
"""
SET_ASIDE = "INSERT INTO unreadable SELECT * FROM waiting WHERE number = ?"
GONE = "DELETE FROM waiting WHERE number = ?"
HAS_UNREADABLE = "SELECT count(*) FROM sqlite_schema WHERE name = 'unreadable'"
UNREADABLE = "SELECT count(*) FROM unreadable"
DONE = "DELETE FROM waiting WHERE number <= ?"
ALL = "SELECT number, CAST(record AS BLOB) FROM waiting"
FORGET = "DELETE FROM waiting WHERE number = ?"
# Numbers are given without gaps, and rows go in order; until they are sent, those of a person who was erased
# count as if they were there.
SIZE = "SELECT coalesce(max(number) - min(number) + 1, 0) FROM waiting"
OLDEST_AT = "SELECT accepted_at FROM waiting ORDER BY number LIMIT 1"

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Event | RejectedEvent)


class Journal:
    """A bounded queue on disk. Added events survive a crash of the process or the machine.

    Threads that add at the same time share a commit. Any process may take, one at a time, and gets the
    events of all.

    :raises sqlite3.Error: by any method: the file can't be read or written.
    """

    def __init__(self, folder: Path, capacity_bytes: int) -> None:
        """``capacity_bytes``: what the file may take, other processes' events included."""
        private_folder(folder)
        require_files(folder)
        # SQLite gives the files beside it the same mode.
        for name in (FILE, LOCK):
            private_file(folder / name)
        self._path = folder / FILE
        self._capacity_bytes = capacity_bytes
        self._lock = fasteners.InterProcessLock(folder / LOCK)
        # An app's own handler of a signal may track in the middle of a call of the same thread.
        self._gathering = threading.RLock()
        self._committing = threading.RLock()
        self._is_committing = False
        self._group = _Group()
        with closing(self._connect()) as connection:
            # Before anything else, as the first says: what is no journal stays as it is.
            with transaction(connection):
                pass
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection, "IMMEDIATE"):
                connection.execute(CREATE)
        self._adding = self._connect()
        self._taking = self._connect()
        self._last: int | None = None

    def add(self, *records: Record) -> None:
        """Adds events. When it returns, they are on disk.

        :raises sqlite3.Error: also if the disk or the file is full; then none is added.
        """
        rows = [(dt.datetime.now(dt.UTC).timestamp(), _encode(record)) for record in records]
        with self._gathering:
            group = self._group
            group.rows += rows
        with self._committing:
            # The first of a group commits for all that came while the group before it was committed. If a
            # signal's handler ends it meanwhile, the next one does.
            if not group.is_over:
                self._commit(group)
        if group.error:
            raise group.error

    def _commit(self, group: _Group) -> None:
        if self._is_committing:
            raise sqlite3.OperationalError("a signal's handler interrupted a commit and tracks itself")
        with self._gathering:
            self._group = _Group()
        try:
            self._is_committing = True
            with transaction(self._adding, "IMMEDIATE"):
                self._adding.executemany(APPEND, group.rows)
        except sqlite3.Error as error:
            group.error = error
        finally:
            self._is_committing = False
        group.is_over = True

    def take(self, count: int) -> list[Record]:
        """The oldest ``count`` events, or fewer; none while another process takes them."""
        if not self._lock.acquired and not self._lock.acquire(blocking=False):
            return []
        try:
            rows = self._oldest(count)
            while too_long := [number for number, record in rows if record is None]:
                self._set_aside(too_long)
                rows = self._oldest(count)
        except sqlite3.Error:
            # Another process may make it readable.
            self._lock.release()
            raise
        self._last = rows[-1][0] if rows else None
        if not rows:
            self._lock.release()
        return [_read(record) for _, record in rows]

    def _oldest(self, count: int) -> list[tuple[int, object]]:
        with transaction(self._taking):
            return self._taking.execute(OLDEST, {"bytes": ENTRY_BYTES, "count": count}).fetchall()

    def _set_aside(self, numbers: list[int]) -> None:
        """Keeps entries that are too long to be read where they hold up no other."""
        with transaction(self._taking, "IMMEDIATE"):
            self._taking.execute(CREATE_UNREADABLE)
            for number in numbers:
                self._taking.execute(SET_ASIDE, (number,))
                self._require_deleted(self._taking.execute(GONE, (number,)), 1)
        logger.warning(
            "%d entries of %s are too long to be read, and were set aside", len(numbers), self._path
        )

    def unreadable_count(self) -> int:
        """The number of entries that were set aside in the file's table ``unreadable``."""
        with closing(self._connect()) as connection, transaction(connection):
            (has_any,) = connection.execute(HAS_UNREADABLE).fetchone()
            return int(connection.execute(UNREADABLE).fetchone()[0]) if has_any else 0

    def done(self) -> None:
        """What was taken need not wait any longer."""
        with transaction(self._taking, "IMMEDIATE"):
            self._require_deleted(self._taking.execute(DONE, (self._last,)), 1)

    def _require_deleted(self, cursor: sqlite3.Cursor, count: int) -> None:
        """Else the same events are sent for ever."""
        if cursor.rowcount < count:
            raise sqlite3.DatabaseError(f"events can't be deleted from {self._path}")

    def forget(self, is_meant: Callable[[bytes], bool], timeout_seconds: float) -> int | None:
        """Deletes the events whose JSON is meant, and leaves nothing of them, or of sent ones, in the files.

        Returns how many; None if another process is sending for all of the time, and may have taken some.
        """
        if not self._lock.acquire(timeout=timeout_seconds):
            return None
        try:
            with limited(self._taking, limit_seconds(self._path)):
                # Apps may write meanwhile.
                with transaction(self._taking):
                    meant = [(number,) for number, record in self._taking.execute(ALL) if is_meant(record)]
                with transaction(self._taking, "IMMEDIATE"):
                    for row in meant:
                        self._require_deleted(self._taking.execute(FORGET, row), 1)
                # Deleted rows stay in free pages, and in the write-ahead log, until they are written over.
                self._taking.execute("VACUUM")
                self._taking.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._lock.release()
        return len(meant)

    def count(self) -> int:
        """The events that wait, other processes' included."""
        with closing(self._connect()) as connection, transaction(connection):
            (size,) = connection.execute(SIZE).fetchone()
            return int(size)

    def oldest_at(self) -> dt.datetime | None:
        """Since when the oldest event waits."""
        with closing(self._connect()) as connection, transaction(connection):
            row = connection.execute(OLDEST_AT).fetchone()
        try:
            return row and dt.datetime.fromtimestamp(row[0], dt.UTC)
        except (TypeError, ValueError, OverflowError, OSError):
            # Somebody else wrote it.
            return None

    def close(self) -> None:
        """Closes the files. Waiting events stay in them."""
        if self._lock.acquired:
            self._lock.release()
        elif self._lock.lockfile is not None:
            # A lock that was not to be had leaves its file open.
            self._lock.lockfile.close()
        # A commit that goes on in another thread, or in the one whose signal's handler waits for this, ends.
        if not self._is_committing:
            self._adding.close()
        self._taking.close()

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self._path)
        # Of a text that is no UTF-8 the bytes are kept, as of any entry.
        connection.text_factory = bytes
        connection.execute("PRAGMA synchronous = FULL")
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {self._capacity_bytes // page_bytes}")
        return connection


def require_files(folder: Path) -> None:
    """Refuses files that would block, or that lead to another place.

    :raises sqlite3.OperationalError: a file of the journal is a link, a pipe or a folder.
    """
    for name in (FILE, *(f"{FILE}{suffix}" for suffix in COMPANIONS), LOCK):
        file = folder / name
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise sqlite3.OperationalError(f"{file} is not a regular file")


def other_owner(folder: Path) -> str | None:
    """The user who owns a journal, if it is not the user of this process.

    Whoever owns the folder can put a link in the place of a file while root works there. So nobody works in
    another user's, but for apps themselves. A folder of root's may be any user's.
    """
    if os.name != "posix":
        return None
    import pwd

    owner, file = folder.stat().st_uid, folder / FILE
    if owner in {0, os.geteuid()} and os.path.lexists(file):
        owner = file.lstat().st_uid
    elif owner == 0:
        return None
    if owner == os.geteuid():
        return None
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"the user with the number {owner}"


def _read(encoded: object) -> Record:
    """The event of an entry; of one that is damaged or of another version a rejected one, which is seen."""
    given = encoded if isinstance(encoded, bytes) else repr(encoded).encode()
    try:
        record = _decoder.decode(given)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        payload: Payload = {"record": storable(given.decode("utf-8", "backslashreplace"))}
        event_id = uuid.uuid5(uuid.NAMESPACE_OID, given.hex())
        return RejectedEvent(str(event_id), storable(f"the journal's entry can't be read: {error}"), payload)
    return mended(record)


@dataclass
class _Group:
    """Rows that are committed together, and what became of them."""

    rows: list[tuple[float, bytes]] = field(default_factory=list)
    is_over: bool = False
    error: sqlite3.Error | None = None
