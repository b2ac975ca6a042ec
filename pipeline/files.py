"""Who may read the files that we write: their owner alone, but for a file that somebody named. And whose
folders we use: our own alone.

Standard library only: the write path uses it, in an app's process, whose umask is the app's.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import SettingsError

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
OTHERS = 0o067
"""What others must not have of a folder. The group of the embedded server may have to pass through."""
WRITE_OF_OTHERS = 0o022
PARTS = ("postgres", "dagster", "lake")
"""The folders of a home."""

_given_umask: int | None = None


def keep_private() -> None:
    """Has this process, and those that it starts, make files and folders that only their owner can use.

    For processes that are ours from their start. Engines write files by themselves, and heed the umask alone.
    """
    global _given_umask  # the umask is the process's, too
    if _given_umask is None:
        _given_umask = os.umask(0o077)


def given_umask() -> int:
    """The umask that the user has chosen."""
    if _given_umask is not None:
        return _given_umask
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def private_folder(folder: Path) -> None:
    """Makes the folder and those above it. A new or empty one is its owner's alone; another one is left."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    if not made and _is_wide_and_mine(folder) and not any(folder.iterdir()):
        _narrow(folder, PRIVATE_FOLDER)


def named_folder(folder: Path) -> None:
    """Makes a folder that somebody named, and those above it, with what the user's umask says."""
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        each.mkdir(exist_ok=True)
        each.chmod(0o777 & ~given_umask())


def private_file(file: Path) -> None:
    """Makes the file where it is missing; makes it its owner's alone, if that is us.

    :raises OSError: it can't be written, or is no regular file.
    """
    # By the descriptor: what stands under the name may be another file a moment later.
    wait_for_nobody = getattr(os, "O_NONBLOCK", 0)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK | wait_for_nobody
    descriptor = os.open(file, flags, PRIVATE_FILE)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "It is not a regular file", str(file))
        if os.name == "posix" and status.st_mode & OTHERS and status.st_uid == os.geteuid():
            os.fchmod(descriptor, PRIVATE_FILE)
    finally:
        os.close(descriptor)


def own_folder(folder: Path) -> None:
    """Makes the folder as :func:`private_folder` does.

    :raises SettingsError: another user can change what is in it.
    :raises OSError: it can't be made.
    """
    private_folder(folder)
    require_own(folder)


def require_own_home(home: Path) -> None:
    """Makes sure that nobody else can change what is in a home or its folders, as far as they exist.

    What is in there is trusted: it names folders, and classes that Dagster loads. By default the home lies in
    the current directory, where another user may have made it.

    :raises SettingsError: somebody can.
    """
    if home.is_dir():
        private_folder(home)
    for folder in (home, *(home / part for part in PARTS)):
        require_own(folder)


def require_own(folder: Path) -> None:
    """Makes sure that nobody else, but root, can change what is in a folder, if it exists.

    :raises SettingsError: somebody can.
    """
    if os.name != "posix":
        return
    try:
        link, there = folder.lstat(), folder.stat()
    except OSError:
        return  # not there, or out of reach: there is nothing to trust
    trusted = (0, os.geteuid())
    another = next((each.st_uid for each in (link, there) if each.st_uid not in trusted), None)
    if another is not None:
        raise SettingsError(
            f"Using the folder {folder}",
            f"it belongs to another user, with the id {another}",
            "Run this as that user, or set PROMPT_STATS_HOME to your own folder",
        )
    if there.st_mode & WRITE_OF_OTHERS:
        raise SettingsError(
            f"Using the folder {folder}",
            f"other users can write to it (mode {stat.S_IMODE(there.st_mode):o})",
            f"When you are sure that everything in it is yours: chmod -R go-w {shlex.quote(str(folder))}",
        )


def is_wide(path: Path) -> bool:
    """Whether others than the owner can list or use it."""
    return os.name == "posix" and bool(path.stat().st_mode & OTHERS)


def _is_wide_and_mine(path: Path) -> bool:
    return not path.is_symlink() and is_wide(path) and path.stat().st_uid == os.geteuid()


def _narrow(path: Path, mode: int) -> None:
    """Changes the mode of what is there itself, never of what a link leads to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


@contextmanager
def replaced(target: Path, *, is_private: bool = False) -> Iterator[BinaryIO]:
    """Writes a file that is there once it is whole and on disk, and not at all if the block fails.

    It keeps the mode of the one before. A new one has what the user's umask says, or is private.

    :raises OSError: it can't be written.
    """
    mode = 0o666 & ~given_umask()
    if target.exists():
        mode = stat.S_IMODE(target.stat().st_mode)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "posix":
                os.fchmod(file.fileno(), PRIVATE_FILE if is_private else mode)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
