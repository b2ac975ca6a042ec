"""The counters in ``prompts``: what they have, whether they can take what is counted, and the writing."""

from __future__ import annotations

import datetime as dt

import polars as pl
from sqlalchemy import Connection, text

from pipeline.errors import DatabaseError
from pipeline.publish.copy import copy_frame, frame_of
from pipeline.publish.fitting import Column, misfits
from pipeline.queries import query
from pipeline.stats.changes import changed_groups

WRITE_BACK_COLUMNS = text(query("postgres/write_back_columns"))
PROMPTS_WRITE_BACK = text(query("postgres/prompts_write_back"))
CREATE_PROMPTS_CHANGED = text(query("postgres/create_prompts_changed"))
WRITE_BACK_PROMPTS = text(query("postgres/write_back_prompts"))

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


def plan_write_back(connection: Connection, prompt_stats: pl.DataFrame) -> pl.DataFrame:
    """The prompts whose counters differ from what is counted, with what they shall have; writes nothing.

    :raises DatabaseError: a column can't take its values.
    """
    found = connection.execute(WRITE_BACK_COLUMNS, {"columns": [*COLUMNS, "stats_as_of"]})
    columns = {row.name: Column(row.type, row.is_nullable, row.is_generated) for row in found}
    # The types first: what is of the wrong one can't be read either.
    _require_fit(columns, pl.DataFrame(schema={**COLUMNS, "stats_as_of": MOMENT}))
    current = frame_of(connection.execute(PROMPTS_WRITE_BACK), {"prompt_id": pl.String(), **COLUMNS})
    wanted = prompt_stats.select(current.columns).join(current, on="prompt_id", how="semi")
    _require_fit(columns, wanted.select(*COLUMNS))
    return changed_groups(current, wanted, "prompt_id").rows


def write_back(connection: Connection, changed: pl.DataFrame, as_of: dt.datetime) -> int:
    """Updates the counters that differ; returns the number of prompts updated."""
    if changed.is_empty():
        return 0
    connection.execute(CREATE_PROMPTS_CHANGED)
    copy_frame(connection, "prompts_changed", changed)
    return connection.execute(WRITE_BACK_PROMPTS, {"as_of": as_of}).rowcount


def _require_fit(columns: dict[str, Column], wanted: pl.DataFrame) -> None:
    found = misfits(columns, wanted)
    if found:
        raise DatabaseError(
            "Writing the counters back into the table prompts",
            "; ".join(each.why for each in found),
            "Nothing was published. Run ALTER TABLE prompts "
            + ", ".join(each.clause for each in found)
            + " at a quiet moment, since another type rewrites the table",
        )
