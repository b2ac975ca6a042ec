"""What a disk, or somebody who tidies up, does to files of a lake."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow import fs


def files_of(lake: str, table: str, day: dt.date | None = None) -> list[Path]:
    """The files that hold a day, or all of a table."""
    return [Path(uri.removeprefix("file://")) for uri in uris_of(lake, table, day)]


def uris_of(lake: str, table: str, day: dt.date | None) -> list[str]:
    """Their addresses."""
    only = [("day", "=", day.isoformat())] if day else None
    return DeltaTable(f"{lake}/{table}").file_uris(file_pruning_predicate=only)


class Stored(Protocol):
    """A file, wherever it is."""

    def unlink(self) -> None:
        """Deletes it."""

    def read_bytes(self) -> bytes:
        """All of it."""

    def write_bytes(self, content: bytes, /) -> object:
        """Replaces it."""


@dataclass(frozen=True)
class StoredObject:
    """A file in a bucket."""

    files: fs.FileSystem
    name: str

    def unlink(self) -> None:
        """Deletes it."""
        self.files.delete_file(self.name)

    def read_bytes(self) -> bytes:
        """All of it."""
        with self.files.open_input_stream(self.name) as stream:
            return bytes(stream.read())

    def write_bytes(self, content: bytes) -> None:
        """Replaces it."""
        with self.files.open_output_stream(self.name) as stream:
            stream.write(content)


def stored(lake: str, table: str, day: dt.date | None = None) -> Sequence[Stored]:
    """As :func:`files_of`, of a lake in a bucket too."""
    if not lake.startswith("s3://"):
        return files_of(lake, table, day)
    files, _ = fs.FileSystem.from_uri(lake)
    return [StoredObject(files, uri.removeprefix("s3://")) for uri in uris_of(lake, table, day)]


def delete_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """Somebody tidies up."""
    for file in stored(lake, table, day):
        file.unlink()


def empty_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """A disk was full."""
    for file in files_of(lake, table, day):
        file.write_bytes(b"")


def truncate_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """A disk loses the end of a file."""
    for file in stored(lake, table, day):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])


def overwrite_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """A disk returns something else, as long as what was there."""
    for file in files_of(lake, table, day):
        overwrite(file)


def overwrite(file: Path) -> None:
    """Zeros, as many as there were bytes."""
    file.write_bytes(bytes(file.stat().st_size))


def scribble_on_files(lake: str, table: str, day: dt.date | None = None) -> None:
    """A disk returns something else; the end of the file, with its directory, is whole."""
    for file in stored(lake, table, day):
        content = bytearray(file.read_bytes())
        content[4 : len(content) // 3] = bytes(len(content) // 3 - 4)
        file.write_bytes(bytes(content))


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
