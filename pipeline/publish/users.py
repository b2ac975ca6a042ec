"""The stats of users: as many rows as users have used prompts, so only what changed is merged.

Where the days that changed only grew, the users and prompts of the new events are all that can differ, and
only they are merged. Otherwise everything is, some prompts at a time, and compared with what is published.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

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
COUNT_UNIQUE_USERS = text(query("postgres/count_unique_users"))

KEYS = ["user_id", "prompt_id"]

LEDGER = {"day": pl.Date, "ingest_xid": pl.Int64, "synced_high": pl.Int64, "events_version": pl.Int64}


@dataclass(frozen=True)
class UsersReport:
    """Rows of ``user_prompt_stats`` and of ``prompt_stats`` written. ``as_of`` is None if the partials of
    users lag behind those of prompts: then nothing new can be promised.
    """

    rows: int
    prompts: int
    as_of: dt.datetime | None


def publish_users(connection: Connection, lake: str, usage: pl.DataFrame, as_of: dt.datetime) -> UsersReport:
    """Brings ``user_prompt_stats`` and ``prompt_stats.unique_users`` up to date with the partials of users.

    ``usage``: what the partials of prompts hold, day by day.
    """
    state = State(lake, USERS)
    ledger = state.daily.days()
    held = ledger.select("day", "synced_high", "events_version", ingest_xid="mark").select(*LEDGER)
    published = frame_of(connection.execute(select(user_stats_day)), {**LEDGER, "rollup_version": pl.Int64})
    rows = 0
    if not published.drop("rollup_version").sort("day").equals(held.sort("day")):
        grown = _grown_since(published, held)
        if grown is None:
            rows = _write_all(connection, state)
        else:
            rows = _write_changed(connection, state, _pairs_of_new_events(lake, grown))
        connection.execute(user_stats_day.delete())
        copy_frame(connection, user_stats_day.name, held.with_columns(rollup_version=pl.lit(USERS.version)))
    rows += connection.execute(ADD_USER_FAVORITES).rowcount
    rows += connection.execute(REMOVE_USER_FAVORITES).rowcount
    prompts = connection.execute(COUNT_UNIQUE_USERS, {"as_of": as_of}).rowcount
    same = ["day", "mark", "synced_high"]
    is_level = ledger.select(same).equals(usage.select(same))
    return UsersReport(rows, prompts, as_of if is_level else None)


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


def _write_changed(connection: Connection, state: State, pairs: pl.DataFrame) -> int:
    users = pa.array(pairs["user_id"].unique().to_list(), pa.string())
    partials = state.read().filter(ds.field("value").isin(users))
    # Batch by batch: those who used one prompt have used others, for years.
    with damage.reading("Merging the partials of users"):
        wanted = pl.concat(
            pl.DataFrame(batch).join(pairs, left_on=["value", "prompt_id"], right_on=KEYS, how="semi")
            for batch in chain([SCHEMA.empty_table()], partials.to_batches())
        )
    totals = duckdb_engine.run("merged_partials", partials=ds.dataset(wanted.to_arrow()))
    return _write(connection, frames.user_prompt_stats(totals))


def _write_all(connection: Connection, state: State) -> int:
    known = set(connection.scalars(select(cast(user_prompt_stats.c.prompt_id, Text)).distinct()))
    if not known:
        return sum(_fill(connection, frames.user_prompt_stats(part)) for part in merged(state.read()))
    rows = 0
    for part in merged(state.read()):
        prompts = part["prompt_id"].drop_nulls().unique().to_list()
        rows += _replace(connection, prompts, frames.user_prompt_stats(part))
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
