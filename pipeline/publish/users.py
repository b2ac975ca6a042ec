"""The stats of users, one row per user and prompt, of which only the changed ones are merged.

If a day only grew, only the users and prompts of its new events can differ. If it was read again, only those
of the events by which it differs from its earlier state can. Only these are merged. If they are too many, or
the files of the earlier state are gone, or the query changed, everything is merged and compared with what is
published. If raw events of a lost day would be needed, nothing is merged.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from sqlalchemy import Connection, select, text

from pipeline.database.queries import query
from pipeline.database.tables import user_prompt_stats, user_stats_day
from pipeline.engines import duckdb_engine, rollups
from pipeline.engines.scan import Scan
from pipeline.errors import LakeError
from pipeline.installation import Installation
from pipeline.lake import damage
from pipeline.lake.merge import merging
from pipeline.lake.partials import USERS
from pipeline.lake.periods import State
from pipeline.publish.copy import copy_frame, indexes_afterwards
from pipeline.stats import frames

logger = logging.getLogger(__name__)

CREATE_USER_PROMPTS_CHANGED = text(query("publish/create_user_prompts_changed"))
WRITE_USER_PROMPTS = text(query("publish/write_user_prompts"))
DELETE_OTHER_USER_PROMPTS = text(query("publish/delete_other_user_prompts"))
ANALYZE_USER_PROMPTS_CHANGED = text(query("publish/analyze_user_prompts_changed"))
ADD_USER_FAVORITES = text(query("publish/add_user_favorites"))
REMOVE_USER_FAVORITES = text(query("publish/remove_user_favorites"))
DELETE_GONE_USER_PROMPTS = text(query("publish/delete_gone_user_prompts"))
COUNT_UNIQUE_USERS = text(query("publish/count_unique_users"))

KEYS = ["user_id", "prompt_id"]

COMPARED_EVENTS_MAX = 5_000_000
"""Events of days that were read again that are compared with what they were: with more, to merge all is no
slower."""

PAIRS_MAX = 200_000
"""Pairs of a user and a prompt that are merged by themselves: with more, to merge all is no slower."""

LEDGER = ["day", "ingest_xid", "synced_high", "events_version"]


@dataclass(frozen=True)
class UserStats:
    """The changes of the stats of users.

    ``parts``: their rows, some in each; None where nothing changed. ``gone``: the users and prompts
    that have none any more; None: these are all rows, so that any others are to go. ``ledger``: what the raw
    events are that they were made from, day by day.
    """

    ledger: pl.DataFrame
    parts: Iterable[pl.DataFrame] | None = None
    gone: pl.DataFrame | None = None


@dataclass(frozen=True)
class UsersReport:
    """Rows of ``user_prompt_stats`` and of ``prompt_stats`` written. ``as_of`` is None if they are not made
    from the same events as the stats of prompts: then nothing new can be promised.
    """

    rows: int
    prompts: int
    as_of: dt.datetime | None


def compute_users(installation: Installation, published: pl.DataFrame, spool: Path) -> UserStats | None:
    """The changes of ``user_prompt_stats``, or None if they need raw events of a lost day.

    ``published``: the rows of ``user_stats_day``. ``spool``: a folder for what should not be in memory.

    :raises LakeError: the lake can't be read.
    """
    state = State(installation.lake, USERS)
    held = _held(state.ledger)
    if published.select(LEDGER).sort("day").equals(held.sort("day")):
        return UserStats(state.ledger)
    if lost := state.lacks(damage.note_lost_days(installation.database, state.daily)):
        logger.warning("the stats of users stay as they are, because the events of %s are lost", min(lost))
        return None
    pairs = None
    if published.height and (published["rollup_version"] == USERS.version).all():
        pairs = _touched_pairs(state, _changed_days(published, held))
    if pairs is None:
        return UserStats(state.ledger, _spooled(spool, state.scan()))
    rows = _rows_of(state, pairs)
    return UserStats(state.ledger, [rows], gone=pairs.join(rows, on=KEYS, how="anti"))


def write_users(
    connection: Connection, stats: UserStats, usage: pl.DataFrame, as_of: dt.datetime
) -> UsersReport:
    """Brings ``user_prompt_stats`` and ``prompt_stats.unique_users`` up to date.

    ``usage``: what the partials of prompts hold, day by day.
    """
    rows, prompts = 0, list[str]()
    is_whole = stats.parts is not None and stats.gone is None
    if stats.parts is not None:
        rows, prompts = _write(connection, stats.parts, stats.gone)
        held = _held(stats.ledger).with_columns(rollup_version=pl.lit(USERS.version))
        connection.execute(user_stats_day.delete())
        copy_frame(connection, user_stats_day.name, held)
    rows += connection.execute(ADD_USER_FAVORITES).rowcount
    rows += connection.execute(REMOVE_USER_FAVORITES).rowcount
    counted = {"as_of": as_of, "prompts": None if is_whole else prompts}
    prompt_rows = connection.execute(COUNT_UNIQUE_USERS, counted).rowcount
    same = ["day", "mark", "synced_high"]
    is_level = stats.ledger.select(same).equals(usage.select(same))
    return UsersReport(rows, prompt_rows, as_of if is_level else None)


def _held(ledger: pl.DataFrame) -> pl.DataFrame:
    return ledger.select("day", "synced_high", "events_version", ingest_xid="mark").select(LEDGER)


def _spooled(spool: Path, partials: Scan) -> Iterable[pl.DataFrame]:
    """All rows, computed now and kept in files until they are needed."""
    files = []
    for number, batch in enumerate(merging(partials)):
        files.append(spool / f"{number}.arrow")
        frames.user_prompt_stats(pl.DataFrame(batch)).write_ipc(files[-1], compression="zstd")
    return (pl.read_ipc(file) for file in files)


def _changed_days(published: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """The days that changed: ``day``; ``mark``, the ``ingest_xid`` after which its events are new, -1 if all
    are; and ``events_version``, that of the published stats, where it was read again, else null.
    """
    both = held.join(published, on="day", how="full", coalesce=True, suffix="_before", nulls_equal=True)
    only_grew = (pl.col("ingest_xid") > pl.col("ingest_xid_before")) & (
        pl.col("synced_high") == pl.col("synced_high_before")
    )
    is_replaced = pl.col("ingest_xid_before").is_not_null() & only_grew.not_().fill_null(value=True)
    return both.filter(pl.col("events_version").ne_missing(pl.col("events_version_before"))).select(
        "day",
        mark=pl.when(only_grew).then("ingest_xid_before").otherwise(-1),
        events_version=pl.when(is_replaced).then("events_version_before"),
    )


def _touched_pairs(state: State, changed: pl.DataFrame) -> pl.DataFrame | None:
    """The users and prompts that may differ, or None if they are too many or unknown."""
    marks = changed.filter(pl.col("events_version").is_null()).select("day", "mark")
    pairs = duckdb_engine.run(
        "user_prompts_since", usage_events=_events(state, marks["day"]), marks=marks.to_arrow()
    )
    replaced = dict(changed.drop_nulls().select("day", "events_version").iter_rows())
    if state.row_count(replaced) > COMPARED_EVENTS_MAX:
        return None
    if replaced:
        before = state.daily.as_it_was({day: version ^ USERS.version for day, version in replaced.items()})
        if before is None:
            return None
        try:
            differing = rollups.run(
                "user_prompts_changed", usage_events=_events(state, replaced), earlier=before.scan(replaced)
            )
        except LakeError as error:
            # Nobody repairs files that were replaced. If it is one of today's, those who read it next say so.
            logger.info("merging the users of all days: %s", error)
            return None
        pairs = pl.concat([pairs, differing]).unique()
    return pairs if pairs.height <= PAIRS_MAX else None


def _events(state: State, days: Iterable[dt.date]) -> Scan:
    return state.daily.scan(state.days.keys() & set(days))


def _rows_of(state: State, pairs: pl.DataFrame) -> pl.DataFrame:
    """The rows of these users and prompts."""
    wanted = state.scan().only(pairs.rename({"user_id": "value"}).to_arrow())
    return frames.user_prompt_stats(rollups.run("merged_partials", partials=wanted))


def _write(
    connection: Connection, parts: Iterable[pl.DataFrame], gone: pl.DataFrame | None
) -> tuple[int, list[str]]:
    """Writes those rows that differ from what is published, and deletes those that are gone.

    Returns how many, and the prompts among them: whatever becomes of their rows, their users may be others.
    """
    if gone is None and connection.execute(select(user_prompt_stats.c.user_id).limit(1)).first() is None:
        # There is nothing to compare them with.
        with indexes_afterwards(connection, user_prompt_stats.name):
            return sum(copy_frame(connection, user_prompt_stats.name, part) for part in parts), []
    connection.execute(CREATE_USER_PROMPTS_CHANGED)
    for part in parts if gone is None else (*parts, gone):
        copy_frame(connection, "user_prompts_changed", part)
    connection.execute(ANALYZE_USER_PROMPTS_CHANGED)
    written = connection.execute(WRITE_USER_PROMPTS).rowcount
    if gone is None:
        return written + connection.execute(DELETE_OTHER_USER_PROMPTS).rowcount, []
    deleted = connection.execute(DELETE_GONE_USER_PROMPTS).rowcount
    touched = pl.concat([part["prompt_id"] for part in (*parts, gone)]).unique()
    return written + deleted, touched.to_list()
