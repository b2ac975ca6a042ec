"""What a disk, or somebody who tidies up, does to files of a lake."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable


def files_of(lake: str, table: str, day: dt.date | None = None) -> list[Path]:
    """The files that hold a day, or all of a table."""
    only = [("day", "=", day.isoformat())] if day else None
    uris = DeltaTable(f"{lake}/{table}").file_uris(file_pruning_predicate=only)
    return [Path(uri.removeprefix("file://")) for uri in uris]


def delete_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """Somebody tidies up."""
    for file in files_of(lake, table, day):
        file.unlink()


def empty_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """A disk was full."""
    for file in files_of(lake, table, day):
        file.write_bytes(b"")


def truncate_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """A disk loses the end of a file."""
    for file in files_of(lake, table, day):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwrite_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """A disk returns something else, as long as what was there."""
    for file in files_of(lake, table, day):
        overwrite(file)


def overwrite(file: Path) -> None:
    """Zeros, as many as there were bytes."""
    file.write_bytes(bytes(file.stat().st_size))


def scribble_on_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """A disk returns something else; the end of the file, with its directory, is whole."""
    for file in files_of(lake, table, day):
        content = bytearray(file.read_bytes())
        content[4 : len(content) // 3] = bytes(len(content) // 3 - 4)
        file.write_bytes(content)


def change_rows(lake: str, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Other rows in the same files: as long as before, and as old."""
    for file in files_of(lake, table):
        was = file.stat()
        rows = pa.BufferOutputStream()
        changed = change(pq.read_table(file, partitioning=None))
        pq.write_table(changed, rows, compression="zstd", compression_level=22, store_schema=False)
        content = rows.getvalue().to_pybytes()
        # The footer says where the rows are, counted from the beginning; between them and it may be anything.
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        filler = bytes(was.st_size - len(content))
        file.write_bytes(content[:footer] + filler + content[footer:])
        assert file.stat().st_size == was.st_size
        os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


def pipe_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """Somebody who may write the folder puts there what whoever opens it waits for."""
    for file in files_of(lake, table, day):
        file.unlink()
        os.mkfifo(file)
