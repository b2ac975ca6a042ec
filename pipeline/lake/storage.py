"""Where the lake's files are: a folder, or a bucket of an object store.

delta-rs and Arrow each speak to the store themselves. Both find endpoint, region and credentials in the
``AWS_…`` variables, or where AWS's own tools look; none are passed here, so none can be logged here.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from pipeline.errors import LakeError
from pipeline.lake.durable import local_folder

PROBE_SCHEMA = pa.schema([("writer", pa.int64())])
RACES = 3
"""Of two writers for one commit. In a store that lets both win, the first race nearly always shows it."""
START_SECONDS = 10
OF_STORE = re.compile(r"AWS Error|Generic S3 error|Error performing [A-Z]+ ")
OF_MISSING = re.compile(r"NO_SUCH_KEY|RESOURCE_NOT_FOUND|404 Not Found")
UNSAFE = "the object store ignores If-None-Match, so two writers of one commit would both seem to succeed"
BETTER = "Use a store, or a version of it, with conditional writes (docs/deployment.md, In a bucket)"


def file_system(uri: str) -> tuple[fs.FileSystem, str]:
    """Arrow's file system for an address, and the path in it.

    Never deltalake's, which is Python, called by threads of Arrow: a process that ends right after a scan
    crashes if one of them is about to call it.
    """
    if folder := local_folder(uri):
        return fs.LocalFileSystem(), str(folder.resolve())
    found, path = fs.FileSystem.from_uri(uri)
    return found, path.rstrip("/")


def tree(uri: str) -> fs.SubTreeFileSystem:
    """The files below an address, by their paths from there."""
    found, path = file_system(uri)
    return fs.SubTreeFileSystem(path, found)


def is_unreachable(error: Exception) -> bool:
    """Whether a library's error says that the object store, and not a file in it, is at fault."""
    said = str(error)
    return bool(OF_STORE.search(said)) and not OF_MISSING.search(said)


def make_probe(lake: str) -> str:
    """Creates a separate table in the lake, and returns its address.

    :raises DeltaError: it can't be made.
    :raises OSError: the same.
    """
    # The dot hides it from those who look for tables.
    probe = f"{lake.rstrip('/')}/.probe-{uuid.uuid4().hex}"
    try:
        DeltaTable.create(probe, PROBE_SCHEMA)
    except (DeltaError, OSError):
        with suppress(OSError):
            remove_table(probe)
        raise
    return probe


def remove_table(uri: str) -> None:
    """Removes a table with all its files.

    :raises OSError: one can't be deleted.
    """
    if folder := local_folder(uri):
        shutil.rmtree(folder)
    else:
        DeltaStorageHandler(uri).delete_dir("")


def is_safe_for_writers(probe: str) -> bool:
    """Whether one of two writers loses when they race for the same commit to a table.

    delta-rs writes a log entry on the condition that none of this name exists (``If-None-Match``). If a store
    ignores this, the later writer overwrites a commit that the other one was told is done.

    :raises DeltaError: the table can't be written.
    :raises OSError: the same, or it can't be read.
    """
    return all(_count_winners(probe) == 1 for _ in range(RACES))


def require_safe_for_writers(lake: str) -> None:
    """Makes sure of the same, by a table that is then removed.

    :raises LakeError: the object store is not safe.
    :raises DeltaError: a table can't be made or written.
    :raises OSError: the same, or it can't be read or removed.
    """
    probe = make_probe(lake)
    try:
        is_safe = is_safe_for_writers(probe)
    finally:
        remove_table(probe)
    if not is_safe:
        raise LakeError(f"Creating tables in {lake}", UNSAFE, BETTER)


def _count_winners(table: str) -> int:
    start = Barrier(2)

    def wins(writer: int) -> bool:
        def rows() -> Iterator[pa.RecordBatch]:
            # The commit follows at once. A writer that never comes fails by itself.
            with suppress(BrokenBarrierError):
                start.wait(START_SECONDS)
            yield pa.record_batch([[writer]], schema=PROBE_SCHEMA)

        opened = DeltaTable(table)
        try:
            write_deltalake(
                opened,
                pa.RecordBatchReader.from_batches(PROBE_SCHEMA, rows()),
                mode="append",
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        return sum(threads.map(wins, range(2)))
