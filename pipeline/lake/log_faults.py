"""Explains why the log of a table can't be opened, and what helps.

The library's own text describes its inner state. Anybody who may write to the folder may have put anything
there.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from pipeline.errors import LakeError
from pipeline.lake.durable import HINT, LOG, NOTE, actions, entry, log_versions
from pipeline.lake.mending import file_fault

ODD = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}

ANEW = (
    "Restore the table's folder from a backup; without one, remove the folder {folder} and run prompt-stats"
    " refresh, which rebuilds it {of}"
)
OF_PARTIALS = "from the raw events"
OF_EVENTS = "from Postgres, except days whose raw rows were removed there (prompt-stats retain)"


def require_files(folder: Path) -> None:
    """Makes sure that the files that opening a table reads are readable: reading a named pipe never ends.

    :raises LakeError: something is no regular file.
    """
    if (folder / LOG).is_dir():
        with os.scandir(folder / LOG) as found:
            odd = [each.path for each in found if not (each.is_file() or _is_folder_of_logs(each))]
        require_regular([folder / NOTE, *odd])


def require_regular(paths: Iterable[Path | str]) -> None:
    """Makes sure that existing files are regular ones.

    :raises LakeError: one is not.
    """
    for path in paths:
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116  # a path object takes longer than the look
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            kind = ODD.get(stat.S_IFMT(mode), "folder")
            raise LakeError(
                f"Reading {path}",
                f"it is a {kind} and not a regular file, so somebody else put it there",
                "Remove it, check who else may write to the lake's folder, and run the command again",
            )


def log_fault(folder: Path, *, is_derived: bool) -> tuple[str, str] | None:
    """What is wrong with a table's log, and what to do, or None if it looks right."""
    log = folder / LOG
    anew = ANEW.format(folder=folder, of=OF_PARTIALS if is_derived else OF_EVENTS)
    hint = log / HINT
    if hint.exists() and not _is_usable(hint):
        return (
            f"{hint} names no checkpoint that is there",
            "Delete this file, which is made again with the next checkpoint, and run it again",
        )
    versions = log_versions(folder)
    for before, after in pairwise(versions):
        if after != before + 1:
            return (
                f"{entry(folder, after)} does not follow the entry before it, of version {before}",
                f"If something else put it there, move it away and run it again. {anew}",
            )
    for version in versions:
        try:
            actions(entry(folder, version))
        except (OSError, ValueError):
            return (
                f"{entry(folder, version)} is no entry of a log",
                f"If something else put it there after the last entry, move it away and run it again. {anew}",
            )
    for checkpoint in sorted(log.glob("*.checkpoint*.parquet")):
        if why := file_fault(checkpoint, checkpoint.stat().st_size):
            delete = f"Delete it and {HINT} beside it, since all entries of the log are there"
            return f"{checkpoint} {why}", delete if versions[:1] == [0] else anew
    return None


def _is_folder_of_logs(found: os.DirEntry[str]) -> bool:
    return found.is_dir() and not found.name.endswith((".json", ".parquet", HINT))


def _is_usable(hint: Path) -> bool:
    try:
        version = int(json.loads(hint.read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return any(hint.parent.glob(f"{version:020}.checkpoint*.parquet"))
