"""The stats of users: as many rows as users have used prompts, so only what changed is merged.

Of a day that only grew, the users and prompts of its new events are all that can differ; of one that was read
again, those that it has now, and those that may have been in it: the published ones that were used then or
later. Only they are merged. Where they are too many, or the query changed, everything is, some prompts at a
time, and compared with what is published.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from sqlalchemy import Connection, Text, cast, select, text

from pipeline.database import Database
from pipeline.engines import duckdb_engine
from pipeline.lake import damage
from pipeline.lake.merge import merged
from pipeline.lake.partials import SCHEMA, USERS
from pipeline.lake.periods import State
from pipeline.lake.usage_events import open_usage_events
from pipeline.publish.copy import copy_frame, frame_of
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
USER_PROMPTS_USED_SINCE = text(query("postgres/user_prompts_used_since"))
DELETE_GONE_USER_PROMPTS = text(query("postgres/delete_gone_user_prompts"))
COUNT_UNIQUE_USERS = text(query("postgres/count_unique_users"))

KEYS = ["user_id", "prompt_id"]

PAIRS_MAX = 200_000
"""Pairs of a user and a prompt that are merged by themselves: with more, to merge all is no slower."""

LEDGER = ["day", "ingest_xid", "synced_high", "events_version"]


@dataclass(frozen=True)
class UserStats:
    """What the stats of users shall be, as far as they change.

    ``parts``: their rows, some prompts in each; None where nothing changed. ``gone``: the users and prompts
    that have none any more; None: these are all rows, so that any others are to go. ``ledger``: what the
    partials of users hold, day by day.
    """

    ledger: pl.DataFrame
    parts: Iterable[pl.DataFrame] | None = None
    gone: pl.DataFrame | None = None


@dataclass(frozen=True)
class UsersReport:
    """Rows of ``user_prompt_stats`` and of ``prompt_stats`` written. ``as_of`` is None if the partials of
    users lag behind those of prompts: then nothing new can be promised.
    """

    rows: int
    prompts: int
    as_of: dt.datetime | None


def compute_users(database: Database, lake: str, published: pl.DataFrame, spool: Path) -> UserStats:
    """What changes in ``user_prompt_stats``, from the partials of users.

    ``published``: the rows of ``user_stats_day``. ``spool``: a folder for what should not be in memory.

    :raises LakeError: the lake can't be read.
    """
    state = State(lake, USERS)
    ledger = state.daily.days()
    held = _held(ledger)
    if published.select(LEDGER).sort("day").equals(held.sort("day")):
        return UserStats(ledger)
    changed = _changed_since(published, held)
    pairs = None if changed is None else _touched_pairs(database, lake, state, changed)
    if pairs is None:
        return UserStats(ledger, _spooled(spool, map(frames.user_prompt_stats, merged(state.scan()))))
    rows = _rows_of(state, pairs)
    return UserStats(ledger, [rows], gone=pairs.join(rows, on=KEYS, how="anti"))


def write_users(
    connection: Connection, stats: UserStats, usage: pl.DataFrame, as_of: dt.datetime
) -> UsersReport:
    """Brings ``user_prompt_stats`` and ``prompt_stats.unique_users`` up to date.

    ``usage``: what the partials of prompts hold, day by day.
    """
    rows = 0
    if stats.parts is not None:
        if stats.gone is None:
            rows = _write_whole(connection, stats.parts)
        else:
            rows = sum(_write(connection, part) for part in stats.parts) + _delete(connection, stats.gone)
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


class _Changed(NamedTuple):
    """``grown``: days that only have new events, with the published mark. ``replaced``: the others."""

    grown: dict[dt.date, int]
    replaced: list[dt.date]


def _changed_since(published: pl.DataFrame, held: pl.DataFrame) -> _Changed | None:
    """The days that changed; None if any user and prompt may have."""
    if published.is_empty() or published.filter(pl.col("rollup_version") != USERS.version).height:
        return None
    both = held.join(published, on="day", how="full", coalesce=True, suffix="_before", nulls_equal=True)
    changed = both.filter(pl.col("events_version").ne_missing(pl.col("events_version_before")))
    only_grew = pl.col("ingest_xid_before").is_null() | (
        (pl.col("ingest_xid") > pl.col("ingest_xid_before"))
        & (pl.col("synced_high") == pl.col("synced_high_before"))
    ).fill_null(value=False)
    replaced = changed.remove(only_grew)["day"].to_list()
    if both["day"].min() in replaced:
        # It has the events without a time, and those of before the first day: no time says whose they were.
        return None
    grown = changed.filter(only_grew).select("day", pl.col("ingest_xid_before").fill_null(-1))
    return _Changed(dict(grown.iter_rows()), replaced)


def _touched_pairs(database: Database, lake: str, state: State, changed: _Changed) -> pl.DataFrame | None:
    """The users and prompts that may differ; None if they are too many."""
    pairs = _pairs_of_new_events(lake, changed.grown)
    if not changed.replaced:
        return pairs
    since = dt.datetime.combine(min(changed.replaced), dt.time.min, dt.UTC)
    with database.engine.connect() as connection:
        given = {"since": since, "limit": PAIRS_MAX + 1}
        used = frame_of(connection.execute(USER_PROMPTS_USED_SINCE, given), dict.fromkeys(KEYS, pl.String))
    is_named = pc.field("value").is_valid() & pc.field("prompt_id").is_valid()
    now = pl.DataFrame(state.daily.rows(changed.replaced, is_named, ["value", "prompt_id"]))
    now = now.select(pl.col("value").alias("user_id"), "prompt_id")
    touched = pl.concat([pairs, used, now]).unique()
    return touched if touched.height <= PAIRS_MAX else None


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


def _delete(connection: Connection, gone: pl.DataFrame) -> int:
    if gone.is_empty():
        return 0
    connection.execute(EMPTY_USER_PROMPTS_CHANGED)
    copy_frame(connection, "user_prompts_changed", gone)
    return connection.execute(DELETE_GONE_USER_PROMPTS).rowcount


def _write(connection: Connection, rows: pl.DataFrame) -> int:
    """Writes those rows that differ from what is published; returns how many."""
    connection.execute(CREATE_USER_PROMPTS_CHANGED)
    connection.execute(EMPTY_USER_PROMPTS_CHANGED)
    copy_frame(connection, "user_prompts_changed", rows)
    connection.execute(ANALYZE_USER_PROMPTS_CHANGED)
    return connection.execute(WRITE_USER_PROMPTS).rowcount
