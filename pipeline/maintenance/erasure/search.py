"""Searches every table and file for a person's id, whether or not anything refers to it."""

from __future__ import annotations

import mmap
import os
import re
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs
from sqlalchemy import Connection, Text, cast, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.errors import readable
from pipeline.lake.storage import file_system
from pipeline.maintenance.erasure.person import Person

ID_COLUMNS = ("user_id", "created_by")
OF_SQLITE = b"SQLite format 3\0"

Found = dict[str, int]
Unread = dict[str, str]


def search_tables(database: Database, person: Person) -> Found:
    """How many rows of each table mention the person."""
    found = {}
    with database.engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            if not person.is_distinctive:
                # A number or a word is everywhere: only where it can be nothing but the id.
                ids = [person.is_in(table.c[name]) for name in ID_COLUMNS if name in table.c]
                texts = [cast(each, Text) for each in table.c if isinstance(each.type, JSONB)]
            else:
                ids, texts = [], [cast(literal_column(_quoted(connection, table.name)), Text)]
            conditions = [*ids, *(text.regexp_match(person.mention) for text in texts)]
            if conditions:
                statement = select(func.count()).select_from(table).where(or_(*conditions))
                if count := connection.execute(statement).scalar_one():
                    found[table.name] = count
    return found


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def search_lake(lake: str, person: Person) -> tuple[Found, Unread]:
    """How often each file below the lake's root mentions the person; and the files that can't be read."""
    filesystem, root = file_system(lake)
    found: Found = {}
    unread: Unread = {}
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True)):
        if info.type == fs.FileType.File:
            try:
                count = _count_in_object(filesystem, info, person)
            except (OSError, pa.ArrowException) as error:
                unread[info.path] = readable(error)
                continue
            if count:
                found[info.path] = count
    return found, unread


def _count_in_object(filesystem: fs.FileSystem, info: fs.FileInfo, person: Person) -> int:
    if info.extension != "parquet":
        with filesystem.open_input_stream(info.path) as stream:
            return _count(person, stream.read())
    with filesystem.open_input_file(info.path) as file:
        parquet = pq.ParquetFile(file)
        return sum(_count_in_batch(batch, person) for batch in parquet.iter_batches())


def _count_in_batch(batch: pa.RecordBatch, person: Person) -> int:
    if not person.is_distinctive:
        return _count_of_users(batch, person)
    count = 0
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            count += pc.sum(pc.match_substring_regex(column, person.mention)).as_py() or 0
        elif pa.types.is_nested(column.type):
            count += _count(person, str(column.to_pylist()).encode())
    return count


def _count_of_users(batch: pa.RecordBatch, person: Person) -> int:
    """In the columns that hold ids of users: of events, and of partials by user."""
    if "user_id" in batch.schema.names:
        matches = pc.equal(batch["user_id"].cast(pa.string()), person.key)
    elif {"dimension", "value"} <= {*batch.schema.names}:
        is_of_users = pc.equal(batch["dimension"].cast(pa.string()), "user")
        matches = pc.and_(is_of_users, pc.equal(batch["value"].cast(pa.string()), person.key))
    else:
        return 0
    return pc.sum(matches).as_py() or 0


def search_folders(folders: Collection[Path], lake: str, person: Person) -> tuple[Found, Unread]:
    """The same for every file in some folders, but for the lake's and those of a Postgres server."""
    found: Found = {}
    unread: Unread = {}
    for path in files_of(folders, lake):
        try:
            count = _count_in_file(path, person)
        except FileNotFoundError:
            continue  # Gone by now, as Dagster's own are when a run ends.
        except (OSError, sqlite3.Error, pa.ArrowException) as error:
            unread[str(path)] = readable(error)
            continue
        if count:
            found[str(path)] = count
    return found, unread


def files_of(folders: Collection[Path], lake: str) -> Iterator[Path]:
    """Each file in the folders once, but for the lake's and those of a Postgres server's data directory."""
    inside = None if "://" in lake else Path(lake).resolve()
    seen: set[Path] = set()
    for folder in folders:
        for root, names, files in os.walk(folder.resolve()):
            here = Path(root)
            if here in seen or here == inside or "PG_VERSION" in files:
                names.clear()
                continue
            seen.add(here)
            yield from (path for name in files if (path := here / name).is_file())


def _count_in_file(path: Path, person: Person) -> int:
    if not path.stat().st_size:
        return 0
    if path.suffix == ".parquet":
        return sum(_count_in_batch(batch, person) for batch in pq.ParquetFile(path).iter_batches())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # Raw first: what was deleted from a SQLite file may be in its free pages still.
        count = _count(person, content)
        is_sqlite = content[: len(OF_SQLITE)] == OF_SQLITE
    return max(count, _count_in_sqlite(path, person)) if is_sqlite else count


def _count(person: Person, content: bytes | mmap.mmap) -> int:
    return sum(1 for _ in re.finditer(person.mention.encode(), content))


def _count_in_sqlite(path: Path, person: Person) -> int:
    """Values that mention the person: a long one is spread over pages, so that raw it may not be seen."""
    count = 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            escaped = name.replace('"', '""')
            for row in connection.execute(f'SELECT * FROM "{escaped}"'):  # noqa: S608  # the file's own name
                for value in row:
                    raw = value.encode() if isinstance(value, str) else value
                    count += _count(person, raw) if isinstance(raw, bytes) else 0
    return count
