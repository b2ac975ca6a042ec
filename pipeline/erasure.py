"""Removes a person's events from Postgres, from the lake with its old files, and from the stats.

The person's favourites and rejected events go too. What the app keeps elsewhere (its posts, its users) is
the app's; the search at the end names it. Backups are out of reach.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs
from sqlalchemy import Text, cast, delete, func, literal_column, select, update

from pipeline import tables
from pipeline.database import Database, Lock
from pipeline.errors import InputError, LakeError, readable
from pipeline.lake import source
from pipeline.lake.isolation import each_apart
from pipeline.lake.source_table import require_source
from pipeline.lake.upkeep import clean
from pipeline.lake.usage_events import SCHEMA, open_usage_events, sync_days
from pipeline.publish.values import publish_values
from pipeline.refresh import raise_failed, refresh

logger = logging.getLogger(__name__)

NOTHING_KEPT = dt.timedelta(0)
APP_TABLES = ("posts", "prompts")
"""Tables that are the app's: searched, and left as they are."""


@dataclass(frozen=True)
class ErasureReport:
    """``rows``: rows deleted, by table of Postgres. ``events``: events removed from the lake.

    ``files``: old files of the lake deleted. ``found``: where the person's id is still, by table or file,
    and how often; empty if all is gone. ``left_to_app``: the same in the app's own tables. ``unread``: files
    that could not be searched, and stats that could not be counted anew, and why.
    """

    rows: dict[str, int]
    events: int
    files: int
    found: dict[str, int]
    left_to_app: dict[str, int]
    unread: dict[str, str]


def erase_user(database: Database, lake: str, first_day: dt.date, user_id: str) -> ErasureReport:
    """Removes all of a person's events, publishes, and searches every table and file for the id.

    May be repeated, and has to be if the person's events still come in. Expired days that can't be read are
    left as they are, and all else is done.

    :raises InputError: ``user_id`` is not a UUID.
    :raises DatabaseError: the raw table is not seen whole; nothing was erased.
    :raises SettingsError: a setting is another one than the stats were made with; nothing was erased.
    :raises LakeError: a day could not be processed, or the lake can't be written: run it again.
    """
    try:
        user = str(uuid.UUID(user_id))
    except ValueError as error:
        raise InputError(
            f"Erasing the user {user_id!r}", "this is not a UUID", "Give the user's id"
        ) from error
    with database.engine.connect() as connection:
        require_source(connection, database.names, first_day)
    rows = _delete_rows(database, user)
    days, unreadable = _days_of(lake, user)
    removed = _remove_expired(database, lake, days, user)
    with database.engine.connect() as connection:
        noted = source.invalidated_days(connection, first_day)
    # Days of which Postgres has nothing of the user, though the lake has, are not noted as changed.
    # Those that can't be read are made anew, so that what was in them is known.
    suspects = days.keys() | unreadable.keys()
    unnoted = [day for day in suspects if day not in removed and day not in noted]
    raise_failed(sync_days(database, lake, first_day, unnoted, replace=True).failed)
    refresh(database, lake, first_day)
    files = clean(database, lake, NOTHING_KEPT)
    in_files, unread = _search_files(lake, user)
    try:
        publish_values(database, lake)
    except LakeError as error:
        # Without a day that can't be read there is nothing to count anew; the counts name nobody.
        unread |= {table.name: str(error) for table in tables.VALUE_TABLES}
    unread |= {f"{day} of usage_events": why for day, why in _days_of(lake, user)[1].items()}
    found = {**_search_tables(database, user), **in_files}
    left = {name: found.pop(name) for name in APP_TABLES if name in found}
    logger.info("erased a user from %d days; %d files deleted", len(days), files)
    return ErasureReport(rows, sum(days.values()), files, found, left, unread)


def _delete_rows(database: Database, user: str) -> dict[str, int]:
    conditions = {
        tables.prompt_usage: cast(tables.prompt_usage.c.user_id, Text) == user,
        tables.prompt_favorites: cast(tables.prompt_favorites.c.user_id, Text) == user,
        tables.prompt_usage_rejected: cast(tables.prompt_usage_rejected.c.payload, Text).contains(user),
    }
    rows = {}
    with database.engine.begin() as connection:
        for table, condition in conditions.items():
            rows[table.name] = connection.execute(delete(table).where(condition)).rowcount
    return rows


def _days_of(lake: str, user: str) -> tuple[dict[dt.date, int], dict[dt.date, str]]:
    """The days of the lake with events of the user, and how many; the days that can't be read, and why."""
    table = open_usage_events(lake)
    found: dict[dt.date, int] = {}

    def count(days: list[dt.date]) -> None:
        rows = pl.DataFrame(table.rows(days, ds.field("user_id") == user, ["day"]))
        found.update(rows.group_by("day").agg(pl.len()).iter_rows())

    held = table.days()["day"].to_list()
    return found, each_apart([held] if held else [], count)


def _remove_expired(database: Database, lake: str, days: dict[dt.date, int], user: str) -> set[dt.date]:
    """Rewrites the expired ones of the days without the user; returns them."""
    with database.locked(Lock.LAKE):
        with database.engine.connect() as connection:
            expired = source.expired_days(connection)
        table = open_usage_events(lake)
        for day in expired.keys() & days:
            is_other = (ds.field("user_id") != user) | ds.field("user_id").is_null()
            others: pa.Table = table.read([day]).filter(is_other).to_table()
            with database.engine.begin() as connection:
                # The smaller number first: after a crash in between the day is not taken for a damaged one.
                statement = update(tables.stats_expired_day).where(tables.stats_expired_day.c.day == day)
                connection.execute(statement.values(usage_count=others.num_rows))
            table.replace([day], others.select(SCHEMA.names).cast(SCHEMA), expired[day].high)
    return set(expired.keys() & days)


def _search_tables(database: Database, user: str) -> dict[str, int]:
    found = {}
    with database.engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            row_text = cast(literal_column(connection.dialect.identifier_preparer.quote(table.name)), Text)
            statement = select(func.count()).select_from(table).where(row_text.contains(user))
            count = connection.execute(statement).scalar_one()
            if count:
                found[table.name] = count
    return found


def _search_files(lake: str, user: str) -> tuple[dict[str, int], dict[str, str]]:
    """Every file below the lake's root, whether a table names it or not; and those that can't be read."""
    if "://" in lake:
        filesystem, root = fs.FileSystem.from_uri(lake)
    else:
        filesystem, root = fs.LocalFileSystem(), str(Path(lake).resolve())
    found: dict[str, int] = {}
    unread: dict[str, str] = {}
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True)):
        if info.type == fs.FileType.File:
            try:
                count = _count_in_file(filesystem, info, user)
            except (OSError, pa.ArrowException) as error:
                unread[info.path] = readable(error)
                continue
            if count:
                found[info.path] = count
    return found, unread


def _count_in_file(filesystem: fs.FileSystem, info: fs.FileInfo, user: str) -> int:
    if info.extension != "parquet":
        with filesystem.open_input_stream(info.path) as stream:
            return int(stream.read().count(user.encode()))
    with filesystem.open_input_file(info.path) as file:
        parquet = pq.ParquetFile(file)
        return sum(_count_in_batch(batch, user) for batch in parquet.iter_batches())


def _count_in_batch(batch: pa.RecordBatch, user: str) -> int:
    count = 0
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            count += pc.sum(pc.match_substring(column, user)).as_py() or 0
        elif pa.types.is_nested(column.type):
            count += str(column.to_pylist()).count(user)
    return count
