"""The app's tables, where the lineage begins. They are only observed.

An observation reads the server's own statistics. Counting tens of millions of rows would take longer than the
rest of a refresh.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from sqlalchemy import RowMapping, text

from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.database.queries import query
from pipeline.orchestration.explaining import OWNERS, table_metadata

GROUP = "app"
SOURCES = (tables.prompt_usage, tables.posts, tables.prompt_favorites)

RELATIONS = text(query("orchestration/relations"))

CHANGES = "changes"
"""We do not use Dagster's data version. A table of an app in use has another one by the time that a run has
read it, so everything that the run made would be shown as unsynced at once."""

LAST_UPDATED = "dagster/last_updated_timestamp"


def source_specs() -> list[dg.AssetSpec]:
    """The app's tables as external assets."""
    return [
        dg.AssetSpec(
            table.name,
            group_name=GROUP,
            kinds={"postgres"},
            owners=OWNERS,
            description=f"{table.comment}\n\nThis table is observed when it has changed: `prompt_usage` by"
            " each refresh, the others every hour. `rows_estimated` is the server's estimate, and `changes`"
            " are its counts of inserted, updated and deleted rows.",
            metadata=table_metadata(table.name),
        )
        for table in SOURCES
    ]


def relations(database: Database, names: list[str]) -> dict[str, RowMapping]:
    """Size, estimated rows and changes of the named tables, by name."""
    wanted = {"names": names, "relations": [database.names.qualified(name) for name in names]}
    with database.engine.connect() as connection:
        return {row["name"]: row for row in connection.execute(RELATIONS, wanted).mappings()}


def observed_usage(database: Database, usage: Mapping[str, Any], now: dt.datetime) -> dg.AssetObservation:
    """An observation of ``prompt_usage`` after a sync that found new rows. ``usage``: its metadata."""
    seen = relations(database, [tables.prompt_usage.name])[tables.prompt_usage.name]
    return _observation(seen, now, usage)


def observed_others(
    instance: dg.DagsterInstance, database: Database, now: dt.datetime
) -> Iterator[dg.AssetObservation]:
    """An observation of each other table of the app that has changed since its last one."""
    others = [table.name for table in SOURCES if table is not tables.prompt_usage]
    for name, seen in relations(database, others).items():
        before = instance.fetch_observations(dg.AssetKey(name), limit=1).records
        last = before[0].event_log_entry.asset_observation if before else None
        noted = last.metadata.get(CHANGES) if last else None
        if noted is None or noted.value != seen["changes"]:
            yield _observation(seen, now)


def _observation(
    seen: RowMapping, now: dt.datetime, more: Mapping[str, Any] | None = None
) -> dg.AssetObservation:
    return dg.AssetObservation(
        seen["name"],
        metadata={
            "rows_estimated": seen["rows_estimated"],
            "bytes": seen["bytes"],
            CHANGES: dg.MetadataValue.text(seen["changes"]),
            LAST_UPDATED: dg.MetadataValue.timestamp(now),
            **(more or {}),
        },
    )
