"""The counters in ``prompts``: what they have, whether they can take what is counted, and the writing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl
from sqlalchemy import Connection, text

from pipeline.errors import DatabaseError
from pipeline.publish.copy import copy_frame, frame_of
from pipeline.publish.fitting import Column, misfits
from pipeline.queries import query
from pipeline.stats.changes import changed_groups
from pipeline.stats.drift import Drift, counter_drift

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


@dataclass(frozen=True)
class WriteBack:
    """What is to be written. ``changed``: the prompts whose counters differ, with what they shall have.

    ``drift``: how far the counters were from what is counted, where that is asked for and anybody kept some.
    """

    changed: pl.DataFrame
    drift: Drift | None


def plan_write_back(connection: Connection, prompt_stats: pl.DataFrame, *, with_drift: bool) -> WriteBack:
    """Compares the counters in ``prompts`` with those that are counted; writes nothing.

    :raises DatabaseError: a column can't take its values.
    """
    found = connection.execute(WRITE_BACK_COLUMNS, {"columns": [*COLUMNS, "stats_as_of"]})
    columns = {row.name: Column(row.type, row.is_nullable, row.is_generated) for row in found}
    # The types first: what is of the wrong one can't be read either.
    _require_fit(columns, pl.DataFrame(schema={**COLUMNS, "stats_as_of": MOMENT}))
    current = frame_of(connection.execute(PROMPTS_WRITE_BACK), {"prompt_id": pl.String(), **COLUMNS})
    wanted = prompt_stats.select(current.columns).join(current, on="prompt_id", how="semi")
    _require_fit(columns, wanted.select(*COLUMNS))
    return WriteBack(
        changed=changed_groups(current, wanted, "prompt_id").rows,
        drift=counter_drift(current, wanted) if with_drift else None,
    )


def write_back(connection: Connection, plan: WriteBack, as_of: dt.datetime) -> int:
    """Updates the counters that differ; returns the number of prompts updated."""
    if plan.changed.is_empty():
        return 0
    connection.execute(CREATE_PROMPTS_CHANGED)
    copy_frame(connection, "prompts_changed", plan.changed)
    return connection.execute(WRITE_BACK_PROMPTS, {"as_of": as_of}).rowcount


def _require_fit(columns: dict[str, Column], wanted: pl.DataFrame) -> None:
    found = misfits(columns, wanted)
    if found:
        raise DatabaseError(
            "Writing the counters back into the table prompts",
            "; ".join(each.why for each in found),
            "Nothing was published. Run ALTER TABLE prompts "
            + ", ".join(each.clause for each in found)
            + " at a quiet moment, since another type rewrites the table; or set PROMPT_STATS_WRITE_BACK=off,"
            " which leaves prompts alone",
        )
