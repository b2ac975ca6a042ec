"""Removes versions from a table's log that a power cut left broken.

Nothing in Postgres relies on a version that is not flushed (``pipeline.lake.durable``), so an incomplete
unflushed version can be removed, and its events are read again. Only the last few versions can be unflushed,
since each writer flushes what it opens. Older versions were not broken by a power cut, and are left alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.lake.durable import (
    HINT,
    LOG,
    UNFLUSHED,
    actions,
    entry,
    flush_paths,
    locked,
    log_versions,
    read_note,
)

logger = logging.getLogger(__name__)


def mend(folder: Path) -> None:
    """Removes the last versions of a table before it is opened, if they are unflushed and broken.

    It costs almost nothing if everything is flushed.

    :raises OSError: the log can't be written.
    """
    noted = read_note(folder)
    if noted is None or not any(entry(folder, noted + ahead).exists() for ahead in range(1, UNFLUSHED + 1)):
        return
    with locked(folder):
        versions, noted = log_versions(folder), read_note(folder)
        if not versions or noted is None:
            return
        last = versions[-1]
        keep_until = last
        for version in range(max(noted + 1, last + 1 - UNFLUSHED), last + 1):
            if fault := _fault(folder, version, last):
                logger.warning("%s: dropping version %d, as after a power cut: %s", folder, version, fault)
                keep_until = version - 1
                break
        _drop_checkpoints(folder, noted, keep_until)
        for version in range(last, keep_until, -1):
            entry(folder, version).unlink(missing_ok=True)
        flush_paths([folder / LOG])


def is_log_torn(folder: Path) -> bool:
    """Whether any part of a table's log, however old, is missing or can't be read."""
    versions = log_versions(folder)
    checkpoints = (folder / LOG).glob("*.checkpoint*.parquet")
    return (
        versions != list(range(min(versions, default=0), max(versions, default=-1) + 1))
        or any(_is_torn(entry(folder, version)) for version in versions)
        or any(file_fault(checkpoint, checkpoint.stat().st_size) for checkpoint in checkpoints)
    )


def _is_torn(log_entry: Path) -> bool:
    try:
        return not actions(log_entry)
    except ValueError:
        return True


def _fault(folder: Path, version: int, last: int) -> str | None:
    """What is broken in a version, or None if it is complete."""
    try:
        found = actions(entry(folder, version))
    except FileNotFoundError:
        return "its log entry is missing"
    except ValueError:
        return "its log entry is torn"
    added = {unquote(action["add"]["path"]): action["add"]["size"] for action in found if "add" in action}
    infos = [action["commitInfo"] for action in found if "commitInfo" in action]
    counts = [info.get("operationMetrics", {}).get("num_added_files", len(added)) for info in infos]
    if not found or counts not in ([], [len(added)]):
        return "its log entry is torn"
    # A file that was replaced since may be deleted by now.
    for path in added.keys() - _removed(folder, range(version + 1, last + 1)):
        if fault := file_fault(folder / path, added[path]):
            return f"{path} {fault}"
    return None


def file_fault(path: Path, size: int) -> str | None:
    """What is wrong with a Parquet file of this expected length, or None if it can be read."""
    try:
        if path.stat().st_size != size:
            return f"has {path.stat().st_size} bytes of {size}"
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches():
                pass
    except FileNotFoundError:
        return "is missing"
    except (OSError, pa.ArrowException) as error:
        return f"can't be read: {error}"
    return None


def _removed(folder: Path, versions: Iterable[int]) -> set[str]:
    paths = set()
    for version in versions:
        with suppress(OSError, ValueError):
            found = actions(entry(folder, version))
            paths |= {unquote(action["remove"]["path"]) for action in found if "remove" in action}
    return paths


def _drop_checkpoints(folder: Path, noted: int, keep_until: int) -> None:
    """Deletes checkpoints that are broken or belong to removed versions. All entries of the log exist."""
    for checkpoint in (folder / LOG).glob("*.checkpoint*.parquet"):
        version = int(checkpoint.name.partition(".")[0])
        if version > keep_until or (version > noted and file_fault(checkpoint, checkpoint.stat().st_size)):
            checkpoint.unlink()
    hint = folder / LOG / HINT
    try:
        named = int(json.loads(hint.read_bytes())["version"])
    except FileNotFoundError:
        return
    except (ValueError, KeyError):
        named = -1
    if not any((folder / LOG).glob(f"{named:020}.checkpoint*.parquet")):
        hint.unlink()
