"""Flushes a table's commits to disk before anything in Postgres relies on them.

delta-rs writes data files, then the log entry that names them, and flushes neither. A power cut may leave
the entry without the files, an empty entry, or a gap in the log. So each commit is flushed before anything
uses it, and its version is recorded in a file beside the log. Later versions may be broken, in which case
``pipeline.lake.mending`` removes them.

This applies only to local folders: what an object store has acknowledged is durable.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.files import private_folder

LOG = "_delta_log"
HINT = "_last_checkpoint"
NOTE = "_flushed_version"
"""The file with the last flushed version, -1 before the first. Vacuum spares names that begin with ``_``."""

UNFLUSHED = 2
"""The largest number of commits between two flushes: a vacuum makes two."""

THREADS = 8
"""The number of parallel flushes. The file system joins them: 60 take as long as 2 in sequence."""


def local_folder(uri: str) -> Path | None:
    """The folder of a local table, or None if the table is in an object store."""
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    return None if "://" in uri else Path(uri)


def make_folder(folder: Path) -> None:
    """Creates the folder of a table and all missing folders above it, durably."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    private_folder(folder.parent)
    private_folder(folder)
    if not (folder / LOG).exists():
        write_note(folder, -1)
        flush_paths([folder / NOTE, folder, *(path.parent for path in missing)])


def flush(folder: Path, version: int) -> None:
    """Flushes a table up to a version: its data files, their folders, and the log.

    :raises OSError: the disk can't be written.
    """
    if _is_flushed(folder, version):
        return
    with locked(folder):
        if _is_flushed(folder, version):
            return
        noted = read_note(folder)
        entries = [] if noted is None else [entry(folder, each) for each in range(noted + 1, version + 1)]
        # Without a usable note the table is from an older release, or from a backup.
        is_known = entries and all(path.exists() for path in entries)
        flush_paths(_written(folder, entries) if is_known else _everything(folder))
        # Whoever only reads may be unable to note it.
        with _tolerated(errno.EACCES, errno.EPERM, errno.EROFS):
            write_note(folder, version)


def expect_checkpoint(folder: Path, version: int) -> None:
    """Makes the next opening of the table examine the checkpoint that will be written for ``version``."""
    write_note(folder, version - 1)
    flush_paths([folder / NOTE])


def flush_deletions(folder: Path) -> None:
    """Makes the deletion of files of the table durable."""
    flush_paths(Path(path) for path, *_ in os.walk(folder))


def read_note(folder: Path) -> int | None:
    """The last version that is known to be flushed, or None if nothing is known.

    The note itself is written without a flush, so a power cut may leave an older note or an empty file.
    """
    try:
        noted = int((folder / NOTE).read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return max(max(log_versions(folder), default=-1) - UNFLUSHED, -1)
    return noted if noted < 0 or entry(folder, noted).exists() else None


def write_note(folder: Path, version: int) -> None:
    """Records that the versions up to this one are flushed."""
    # In place and always as long: whoever reads meanwhile finds one number or the other.
    descriptor = os.open(folder / NOTE, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.pwrite(descriptor, f"{version:020}\n".encode(), 0)
    finally:
        os.close(descriptor)


def entry(folder: Path, version: int) -> Path:
    """The log entry of a version."""
    return folder / LOG / f"{version:020}.json"


def log_versions(folder: Path) -> list[int]:
    """The versions that have a log entry, in order."""
    return sorted(int(path.stem) for path in (folder / LOG).glob(f"{'[0-9]' * 20}.json"))


def actions(log_entry: Path) -> list[dict[str, Any]]:
    """The actions of a log entry.

    :raises ValueError: it is torn.
    """
    found = [json.loads(line) for line in log_entry.read_text().splitlines()]
    try:
        for action in found:
            for kind in action.keys() & {"add", "remove"}:
                action[kind]["path"], kind == "add" and action[kind]["size"]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{log_entry} is no entry of a log") from error
    return found


def flush_paths(paths: Iterable[Path]) -> None:
    """Flushes files and folders. Those that another writer has deleted meanwhile are left out."""
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(_flush_path, paths))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes other processes and threads wait before they flush or mend the table."""
    descriptor = os.open(folder / LOG, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_flushed(folder: Path, version: int) -> bool:
    noted = read_note(folder)
    return noted is not None and noted >= version


def _written(folder: Path, entries: list[Path]) -> set[Path]:
    """What the commits of these log entries have written, and the folders that hold it."""
    log = folder / LOG
    checkpoints = [path for each in entries for path in log.glob(f"{each.stem}.checkpoint*.parquet")]
    paths = {folder, log, *entries, *checkpoints, *([log / HINT] if checkpoints else [])}
    for each in entries:
        for action in actions(each):
            if "add" in action:
                file = folder / unquote(action["add"]["path"])
                paths |= {file, file.parent}
    return paths


def _everything(folder: Path) -> Iterator[Path]:
    for path, _, names in os.walk(folder):
        yield Path(path)
        yield from (Path(path, name) for name in names)


def _flush_path(path: Path) -> None:
    with suppress(FileNotFoundError):
        # A named pipe that somebody put there would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # Some file systems can't flush folders, and need not.
            numbers = () if path.is_file() else (errno.EINVAL, errno.EBADF)
            with _tolerated(*numbers):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _tolerated(*numbers: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
