"""The counters in ``prompts``: what they have, whether they can take what is counted, and the writing."""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import suppress
from dataclasses import dataclass

import polars as pl
from sqlalchemy import Connection, text

from pipeline.adoption.catalog import quoted
from pipeline.errors import DatabaseError, TableLockedError
from pipeline.locks import waiting
from pipeline.names import TableNames
from pipeline.publish.copy import copy_frame, frame_of
from pipeline.publish.fitting import Column, misfits
from pipeline.queries import query
from pipeline.stats.changes import changed_rows
from pipeline.stats.drift import Drift, counter_drift

WRITE_BACK_COLUMNS = text(query("postgres/write_back_columns"))
PROMPTS_WRITE_BACK = text(query("postgres/prompts_write_back"))
CREATE_PROMPTS_CHANGED = text(query("postgres/create_prompts_changed"))
WRITE_BACK_PROMPTS = text(query("postgres/write_back_prompts"))

logger = logging.getLogger(__name__)

LONGEST_WAIT = "2s"
"""As long as a lock on the whole table is waited for, while the stats tables are locked."""

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
    """What is to be written. ``changed``: the prompts whose counters differ, with what they shall have.

    ``drift``: how far the counters were from what is counted, where that is asked for and anybody kept some.
    """

    changed: pl.DataFrame
    drift: Drift | None


def plan_write_back(
    connection: Connection, names: TableNames, prompt_stats: pl.DataFrame, *, with_drift: bool
) -> WriteBack:
    """Compares the counters in ``prompts`` with those that are counted; writes nothing.

    ``names``: what the app calls the table and its columns.

    :raises DatabaseError: a column can't take its values.
    """
    types = {**COLUMNS, "stats_as_of": MOMENT}
    theirs = {names.column("prompts", ours): ours for ours in types}
    wanted_columns = {"table": names.qualified("prompts"), "columns": [*theirs]}
    columns = {
        theirs[row.name]: Column(row.name, row.type, row.is_nullable, row.is_generated)
        for row in connection.execute(WRITE_BACK_COLUMNS, wanted_columns)
    }
    # The types first: what is of the wrong one can't be read either.
    _require_fit(names, columns, pl.DataFrame(schema=types))
    current = frame_of(connection.execute(PROMPTS_WRITE_BACK), {"prompt_id": pl.String(), **COLUMNS})
    wanted = prompt_stats.select(current.columns).join(current, on="prompt_id", how="semi")
    _require_fit(names, columns, wanted.select(*COLUMNS))
    return WriteBack(
        changed=changed_rows(current, wanted, ["prompt_id"]).rows,
        drift=counter_drift(current, wanted) if with_drift else None,
    )


def write_back(connection: Connection, plan: WriteBack, as_of: dt.datetime) -> int:
    """Updates the counters that differ; returns the number of prompts that have them now.

    Fewer than are to be changed, where the app holds their rows, or one of its triggers keeps them as they
    are or makes something else of them: nobody waits, and the next refresh tries again.
    """
    if plan.changed.is_empty():
        return 0
    connection.execute(CREATE_PROMPTS_CHANGED)
    copy_frame(connection, "prompts_changed", plan.changed)
    wanted, written, altered = plan.changed.height, 0, 0
    with suppress(TableLockedError), waiting(connection, LONGEST_WAIT):
        written, altered = connection.execute(WRITE_BACK_PROMPTS, {"as_of": as_of}).one()
    if kept := wanted - written - altered:
        logger.warning(
            "%d of %d prompts keep the counters that they have: the app holds their rows, or a trigger keeps"
            " them so; the next refresh tries again",
            kept,
            wanted,
        )
    if altered:
        logger.warning(
            "%d of %d prompts have other counters than were written: a trigger on the table changes them; run"
            " prompt-stats doctor to see which; the next refresh tries again",
            altered,
            wanted,
        )
    return int(written)


def _require_fit(names: TableNames, columns: dict[str, Column], wanted: pl.DataFrame) -> None:
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
        f"Nothing was published. Run {how}; or set PROMPT_STATS_WRITE_BACK=off, which leaves the table alone",
    )
