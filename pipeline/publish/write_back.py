"""The counters in ``prompts``: reads them, checks that they fit, and writes them."""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import suppress
from dataclasses import dataclass

import polars as pl
from sqlalchemy import Connection, text

from pipeline.adoption.catalog import quoted
from pipeline.database.locks import waiting
from pipeline.database.queries import query
from pipeline.errors import DatabaseError, TableLockedError
from pipeline.names import TableNames
from pipeline.publish.copy import frame_of
from pipeline.publish.fitting import Column, Extent, misfits
from pipeline.stats.drift import COUNTERS, Drift, counter_drift

WRITE_BACK_COLUMNS = text(query("publish/write_back_columns"))
PROMPT_COUNTERS = text(query("publish/prompt_counters"))
CREATE_PROMPTS_CHANGED = text(query("publish/create_prompts_changed"))
ADD_PROMPTS_CHANGED = text(query("publish/add_prompts_changed"))
EXTENT_OF_PROMPTS_CHANGED = text(query("publish/extent_of_prompts_changed"))
WRITE_BACK_PROMPTS = text(query("publish/write_back_prompts"))

logger = logging.getLogger(__name__)

LONGEST_WAIT = "2s"
"""How long a lock on the whole table is waited for while the stats tables are locked."""

MOMENT = pl.Datetime("us", "UTC")
COLUMNS = {
    "usage_count": pl.Int64(),
    "success_count": pl.Int64(),
    "failure_count": pl.Int64(),
    "success_rate": pl.Float64(),
    "avg_generation_time_ms": pl.Float64(),
    "last_used_at": MOMENT,
    "favorite_count": pl.Int64(),
}


@dataclass(frozen=True)
class WriteBack:
    """``wanted``: the prompts whose counters differed; ``written``: those that have them now.

    ``drift``: how far the counters were from what is counted, where that was asked for and anybody kept some.
    """

    wanted: int
    written: int
    drift: Drift | None


def write_back(
    connection: Connection, names: TableNames, as_of: dt.datetime, *, begins: bool, is_whole: bool
) -> WriteBack | None:
    """Brings the counters in ``prompts`` up to date with ``prompt_stats``, as the transaction sees it.

    ``names``: what the app calls the table and its columns. ``begins``: whether the counters may be what an
    app has kept so far. Those are not replaced unless ``is_whole``, all days being counted: then None.

    :raises DatabaseError: a column can't take its values.
    """
    theirs = {names.column("prompts", ours): ours for ours in (*COLUMNS, "stats_as_of")}
    wanted_columns = {"table": names.qualified("prompts"), "columns": [*theirs]}
    columns = {
        theirs[row.name]: Column(row.name, row.type, row.is_nullable, row.is_generated)
        for row in connection.execute(WRITE_BACK_COLUMNS, wanted_columns)
    }
    # The types first: what is of the wrong one can't be read either.
    types = {**COLUMNS, "stats_as_of": MOMENT}
    _require_fit(names, columns, {name: Extent(kind.base_type()) for name, kind in types.items()})
    drift = drift_now(connection) if begins else None
    if drift and not is_whole:
        return None
    connection.execute(CREATE_PROMPTS_CHANGED)
    wanted = connection.execute(ADD_PROMPTS_CHANGED).rowcount
    if not wanted:
        return WriteBack(0, 0, drift)
    extents = connection.execute(EXTENT_OF_PROMPTS_CHANGED)
    _require_fit(
        names, columns, {name: Extent(COLUMNS[name].base_type(), *extent) for name, *extent in extents}
    )
    return WriteBack(wanted, write_changed(connection, wanted, as_of), drift)


def drift_now(connection: Connection) -> Drift | None:
    """By how much the counters in ``prompts`` differ from the events, or None if nobody kept any."""
    had = {f"had_{name}": name for name in COUNTERS}
    types = {"prompt_id": pl.String, **dict.fromkeys([*had, *COUNTERS], pl.Int64)}
    both = frame_of(connection.execute(PROMPT_COUNTERS), types)
    return counter_drift(both.select("prompt_id", *had).rename(had), both)


def write_changed(connection: Connection, wanted: int, as_of: dt.datetime) -> int:
    """Updates the ``wanted`` prompts of the temporary table, and returns how many of them are up to date now.

    These may be fewer, if the app has locked rows or one of its triggers changes the values. It does not wait
    for them, and the next refresh tries again.
    """
    written, altered = 0, 0
    with suppress(TableLockedError), waiting(connection, LONGEST_WAIT):
        written, altered = connection.execute(WRITE_BACK_PROMPTS, {"as_of": as_of}).one()
    if kept := wanted - written - altered:
        logger.warning(
            "%d of %d prompts keep their present counters, because the app has locked their rows or a trigger"
            " prevents the change; the next refresh tries again",
            kept,
            wanted,
        )
    if altered:
        logger.warning(
            "%d of %d prompts have other counters than were written, because a trigger on the table changes"
            " them. Run prompt-stats doctor to see which one. The next refresh tries again",
            altered,
            wanted,
        )
    return int(written)


def _require_fit(names: TableNames, columns: dict[str, Column], wanted: dict[str, Extent]) -> None:
    found = misfits(columns, wanted)
    if not found:
        return
    table = quoted(*filter(None, (names.schema, names.table("prompts"))))
    alter = f"ALTER TABLE {table} {', '.join(each.clause for each in found)}"
    how = f"{alter} at a quiet moment, since another type rewrites the table"
    if names.has_views:
        # A column that a view has keeps its type.
        view = quoted(names.views, "prompts")
        how = f"DROP VIEW {view}; {how}, then prompt-stats migrate and the grants on the view"
    raise DatabaseError(
        f"Writing the counters back into the table {table}",
        "; ".join(each.why for each in found),
        f"Nothing was published. Run {how}; or set PROMPT_STATS_WRITE_BACK=off to leave the table alone",
    )
