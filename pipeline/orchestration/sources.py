"""The app's tables, where the lineage begins: not made here, only observed.

An observation costs a look into the server's own statistics: a count of tens of millions of rows would take
longer than the rest of a refresh.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from sqlalchemy import RowMapping, text

from pipeline import tables
from pipeline.database import Database
from pipeline.orchestration.explaining import OWNERS, table_metadata
from pipeline.queries import query

GROUP = "app"
SOURCES = (tables.prompt_usage, tables.posts, tables.prompt_favorites)

RELATIONS = text(query("postgres/relations"))

DATA_VERSION = "dagster/data_version"
LAST_UPDATED = "dagster/last_updated_timestamp"


def source_specs() -> list[dg.AssetSpec]:
    """The app's tables as assets of somebody else."""
    return [
        dg.AssetSpec(
            table.name,
            group_name=GROUP,
            kinds={"postgres"},
            owners=OWNERS,
            description=f"{table.comment}\n\nObserved by each refresh. `rows_estimated` is the server's own"
            " estimate; the data version changes with its counts of inserted, updated and deleted rows.",
            metadata=table_metadata(table.name),
        )
        for table in SOURCES
    ]


def relations(database: Database, names: list[str]) -> dict[str, RowMapping]:
    """Size, estimated rows and changes of some tables, by name."""
    with database.engine.connect() as connection:
        return {row["name"]: row for row in connection.execute(RELATIONS, {"names": names}).mappings()}


def observe(
    instance: dg.DagsterInstance, database: Database, usage: Mapping[str, Any], now: dt.datetime
) -> Iterator[dg.AssetObservation]:
    """An observation of each of the app's tables; ``usage`` is what the sync knows of ``prompt_usage``.

    A table was updated when it is first seen with other counts of changes than at the last observation.
    """
    found = relations(database, [table.name for table in SOURCES])
    for name, seen in found.items():
        before = instance.fetch_observations(dg.AssetKey(name), limit=1).records
        last = before[0].event_log_entry.asset_observation if before else None
        is_same = last is not None and last.tags.get(DATA_VERSION) == seen["changes"]
        updated = last.metadata[LAST_UPDATED] if last and is_same else dg.MetadataValue.timestamp(now)
        yield dg.AssetObservation(
            name,
            metadata={
                "rows_estimated": seen["rows_estimated"],
                "bytes": seen["bytes"],
                LAST_UPDATED: updated,
                **(usage if name == tables.prompt_usage.name else {}),
            },
            tags={DATA_VERSION: seen["changes"]},
        )
