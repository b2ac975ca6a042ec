"""The stats of users: as many rows as users have used prompts, so only what changed is merged.

Where the days that changed only grew, the users and prompts of the new events are all that can differ, and
only they are merged. Otherwise everything is, some prompts at a time, and compared with what is published.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from sqlalchemy import Connection, Text, cast, select, text

from pipeline.engines import duckdb_engine
from pipeline.lake import damage
from pipeline.lake.merge import merged
from pipeline.lake.partials import SCHEMA, USERS
from pipeline.lake.periods import State
from pipeline.lake.usage_events import open_usage_events
from pipeline.publish.copy import copy_frame
from pipeline.queries import query
from pipeline.stats import frames
from pipeline.tables import user_prompt_stats, user_stats_day

CREATE_USER_PROMPTS_CHANGED = text(query("postgres/create_user_prompts_changed"))
WRITE_USER_PROMPTS = text(query("postgres/write_user_prompts"))
EMPTY_USER_PROMPTS_CHANGED = text(query("postgres/empty_user_prompts_changed"))
DELETE_USER_PROMPTS = text(query("postgres/delete_user_prompts"))
ANALYZE_USER_PROMPTS_CHANGED = text(query("postgres/analyze_user_prompts_changed"))
ADD_USER_FAVORITES = text(query("postgres/add_user_favorites"))
REMOVE_USER_FAVORITES = text(query("postgres/remove_user_favorites"))
COUNT_UNIQUE_USERS = text(query("postgres/count_unique_users"))

KEYS = ["user_id", "prompt_id"]

LEDGER = ["day", "ingest_xid", "synced_high", "events_version"]


@dataclass(frozen=True)
class UserStats:
    """What the stats of users shall be, as far as they change.

    ``parts``: their rows, some prompts in each; None where nothing changed. ``is_whole``: whether these are
    all rows, so that others are to go. ``ledger``: what the partials of users hold, day by day.
    """

    ledger: pl.DataFrame
    parts: Iterable[pl.DataFrame] | None = None
    is_whole: bool = False


@dataclass(frozen=True)
class UsersReport:
    """Rows of ``user_prompt_stats`` and of ``prompt_stats`` written. ``as_of`` is None if the partials of
    users lag behind those of prompts: then nothing new can be promised.
    """

    rows: int
    prompts: int
    as_of: dt.datetime | None


def compute_users(lake: str, published: pl.DataFrame, spool: Path) -> UserStats:
    """What changes in ``user_prompt_stats``, from the partials of users.

    ``published``: the rows of ``user_stats_day``. ``spool``: a folder for what should not be in memory.

    :raises LakeError: the lake can't be read.
    """
    state = State(lake, USERS)
    ledger = state.daily.days()
    held = _held(ledger)
    if published.select(LEDGER).sort("day").equals(held.sort("day")):
        return UserStats(ledger)
    grown = _grown_since(published, held)
    if grown is None:
        return UserStats(
            ledger, _spooled(spool, map(frames.user_prompt_stats, merged(state.scan()))), is_whole=True
        )
    return UserStats(ledger, [_rows_of(state, _pairs_of_new_events(lake, grown))])


def write_users(
    connection: Connection, stats: UserStats, usage: pl.DataFrame, as_of: dt.datetime
) -> UsersReport:
    """Brings ``user_prompt_stats`` and ``prompt_stats.unique_users`` up to date.

    ``usage``: what the partials of prompts hold, day by day.
    """
    rows = 0
    if stats.parts is not None:
        if stats.is_whole:
            rows = _write_whole(connection, stats.parts)
        else:
            rows = sum(_write(connection, part) for part in stats.parts)
        held = _held(stats.ledger).with_columns(rollup_version=pl.lit(USERS.version))
        connection.execute(user_stats_day.delete())
        copy_frame(connection, user_stats_day.name, held)
    rows += connection.execute(ADD_USER_FAVORITES).rowcount
    rows += connection.execute(REMOVE_USER_FAVORITES).rowcount
    prompts = connection.execute(COUNT_UNIQUE_USERS, {"as_of": as_of}).rowcount
    same = ["day", "mark", "synced_high"]
    is_level = stats.ledger.select(same).equals(usage.select(same))
    return UsersReport(rows, prompts, as_of if is_level else None)


def _held(ledger: pl.DataFrame) -> pl.DataFrame:
    return ledger.select("day", "synced_high", "events_version", ingest_xid="mark").select(LEDGER)


def _spooled(spool: Path, parts: Iterable[pl.DataFrame]) -> Iterable[pl.DataFrame]:
    """The same parts, computed now and kept in files until they are wanted."""
    files = []
    for number, part in enumerate(parts):
        files.append(spool / f"{number}.arrow")
        part.write_ipc(files[-1], compression="zstd")
    return (pl.read_ipc(file) for file in files)


def _grown_since(published: pl.DataFrame, held: pl.DataFrame) -> dict[dt.date, int] | None:
    """The days that changed, with the published mark; None if anything but new events happened to them."""
    if published.filter(pl.col("rollup_version") != USERS.version).height:
        return None
    both = held.join(published, on="day", how="full", coalesce=True, suffix="_before", nulls_equal=True)
    changed = both.filter(pl.col("events_version").ne_missing(pl.col("events_version_before")))
    only_grew = pl.col("ingest_xid_before").is_null() | (
        (pl.col("ingest_xid") > pl.col("ingest_xid_before"))
        & (pl.col("synced_high") == pl.col("synced_high_before"))
    )
    if published.is_empty() or not changed.select(only_grew.fill_null(value=False).all()).item():
        return None
    return dict(changed.select("day", pl.col("ingest_xid_before").fill_null(-1)).iter_rows())


def _pairs_of_new_events(lake: str, since: dict[dt.date, int]) -> pl.DataFrame:
    with damage.reading("Reading the new events of users"):
        events = open_usage_events(lake).read(since).to_table(columns=[*KEYS, "day", "ingest_xid"])
    marks = pl.DataFrame(
        {"day": list(since), "mark": list(since.values())}, schema={"day": pl.Date, "mark": pl.Int64}
    )
    new = pl.DataFrame(events).join(marks, on="day").filter(pl.col("ingest_xid") > pl.col("mark"))
    return new.select(KEYS).drop_nulls().unique()


def _rows_of(state: State, pairs: pl.DataFrame) -> pl.DataFrame:
    """The rows of these users and prompts."""
    users = pa.array(pairs["user_id"].unique().to_list(), pa.string())
    partials = state.scan().dataset().filter(ds.field("value").isin(users))
    # Batch by batch: those who used one prompt have used others, for years.
    with damage.reading("Merging the partials of users"):
        wanted = pl.concat(
            pl.DataFrame(batch).join(pairs, left_on=["value", "prompt_id"], right_on=KEYS, how="semi")
            for batch in chain([SCHEMA.empty_table()], partials.to_batches())
        )
    totals = duckdb_engine.run("merged_partials", partials=ds.dataset(wanted.to_arrow()))
    return frames.user_prompt_stats(totals)


def _write_whole(connection: Connection, parts: Iterable[pl.DataFrame]) -> int:
    known = set(connection.scalars(select(cast(user_prompt_stats.c.prompt_id, Text)).distinct()))
    if not known:
        return sum(_fill(connection, part) for part in parts)
    rows = 0
    for part in parts:
        prompts = part["prompt_id"].drop_nulls().unique().to_list()
        rows += _replace(connection, prompts, part)
        known -= set(prompts)
    return rows + _replace(connection, known, pl.DataFrame())


def _fill(connection: Connection, rows: pl.DataFrame) -> int:
    """Writes rows into the empty table: there is nothing to compare them with."""
    copy_frame(connection, user_prompt_stats.name, rows)
    return rows.height


def _replace(connection: Connection, prompts: Collection[str], rows: pl.DataFrame) -> int:
    """Makes ``rows`` all that is published of some prompts; returns how many were written or deleted."""
    written = _write(connection, rows)
    return written + connection.execute(DELETE_USER_PROMPTS, {"prompts": list(prompts)}).rowcount


def _write(connection: Connection, rows: pl.DataFrame) -> int:
    """Writes those rows that differ from what is published; returns how many."""
    connection.execute(CREATE_USER_PROMPTS_CHANGED)
    connection.execute(EMPTY_USER_PROMPTS_CHANGED)
    copy_frame(connection, "user_prompts_changed", rows)
    connection.execute(ANALYZE_USER_PROMPTS_CHANGED)
    return connection.execute(WRITE_USER_PROMPTS).rowcount
