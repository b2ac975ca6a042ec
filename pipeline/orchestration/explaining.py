"""What the UI shows of an asset besides its runs: columns, their lineage, owner, code version.

They come from the definitions of the tables: SQLAlchemy's with their comments, and the lake's Arrow schemas.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import dagster as dg
import pyarrow as pa
from sqlalchemy.dialects import postgresql

from pipeline.database import tables
from pipeline.database.queries import query
from pipeline.lake import usage_events
from pipeline.lake.delta_table import fingerprint
from pipeline.lake.partials import SCHEMA, USAGE, USERS
from pipeline.lake.periods import PERIOD_SCHEMA

OWNERS = ["team:prompt-stats"]

LAKE_SCHEMAS: Mapping[str, pa.Schema] = {
    usage_events.TABLE: usage_events.SCHEMA,
    USAGE.daily: SCHEMA,
    **{name: PERIOD_SCHEMA for rollup in (USAGE, USERS) for name in (rollup.monthly, rollup.total)},
}

COMMENTED = (tables.prompt_usage, tables.prompt_stats, tables.user_stats_day)
"""Tables whose columns mean the same in the lake. The first one that has a column supplies its comment."""
OF_THE_LAKE = {
    "day": "The partition: the event's day in UTC, or the first day of the period.",
    "dimension": "What the prompt's events are grouped by: scene, environment, outfit, error, time or user;"
    " or prompt, if they are not grouped. Choose one, because each dimension counts the same events.",
    "value": "The value of the dimension. NULL is a group of its own. For time, the logarithmic bucket.",
    "generation_time_ms_sum": "Sum of the generation times, in whole milliseconds.",
    "generation_time_ps_sum": "Sum of the times' fractions of a millisecond, in billionths of one (ps).",
    "generation_time_ps": "The time's fraction of a millisecond, in billionths of one (ps), or NULL.",
    "unusable": "The column whose value is not a usable time and is not counted; NULL if there is none.",
    "generation_time_ms_min": "Shortest generation time in milliseconds; NULL if none was timed.",
    "generation_time_ms_max": "Longest generation time in milliseconds; NULL if none was timed.",
    "covered_until": "The last day that was merged into the period.",
}

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


@dataclass(frozen=True)
class Upstream:
    """An asset that another one is made from.

    ``columns``: columns with the upstream columns that they are made from, where the names differ.
    ``by_name``: whether the other columns come from the upstream column of the same name.
    """

    asset: str
    columns: Mapping[str, Collection[str]] = field(default_factory=dict)
    by_name: bool = True


def explained(
    name: str,
    upstream: Iterable[Upstream] = (),
    *,
    group: str,
    kinds: set[str],
    pace: str,
    description: str | None,
    code: Iterable[str],
    skippable: bool = False,
) -> dg.AssetSpec:
    """The specification of an asset.

    ``pace``: how often it is made. ``code``: the texts from which its code version is computed.
    """
    upstream = list(upstream)
    return dg.AssetSpec(
        name,
        deps=[each.asset for each in upstream],
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        tags={"pace": pace},
        description=description,
        code_version=f"{fingerprint(code):016x}",
        skippable=skippable,
        metadata={**table_metadata(name), **_lineage(name, upstream)},
    )


def table_metadata(name: str) -> dict[str, Any]:
    """Name and columns of the asset's table."""
    address = f"lake.{name}" if name in LAKE_SCHEMAS else name
    return {
        "dagster/table_name": address,
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    column,
                    kind,
                    comment,
                    constraints=dg.TableColumnConstraints(nullable=nullable, unique=unique),
                )
                for column, (kind, comment, nullable, unique) in _columns(name).items()
            ]
        ),
    }


@cache
def _columns(name: str) -> dict[str, tuple[str, str | None, bool, bool]]:
    """Each column's type, comment, whether it may be null, and whether it is unique."""
    if name in LAKE_SCHEMAS:
        known = {column.name: column.comment for table in reversed(COMMENTED) for column in table.c}
        comments = known | OF_THE_LAKE
        return {
            each.name: (str(each.type), comments.get(each.name), True, False) for each in LAKE_SCHEMAS[name]
        }
    table = tables.metadata.tables[name]
    alone = len(table.primary_key.columns) == 1
    return {
        column.name: (
            column.type.compile(_DIALECT).lower(),
            column.comment,
            bool(column.nullable),
            bool(column.unique or (column.primary_key and alone)),
        )
        for column in tables.told(table)
    }


def _lineage(name: str, upstream: Iterable[Upstream]) -> dict[str, dg.TableColumnLineage]:
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for each in upstream:
        there = _columns(each.asset)
        for column in _columns(name):
            default = (column,) if each.by_name and column in there else ()
            deps.setdefault(column, []).extend(
                dg.TableColumnDep(asset_key=each.asset, column_name=source)
                for source in each.columns.get(column, default)
            )
    found = {column: sources for column, sources in deps.items() if sources}
    return {"dagster/column_lineage": dg.TableColumnLineage(found)} if found else {}


def purpose(name: str) -> str:
    """The purpose in a query's header, followed by the query, as the description of an asset."""
    text = query(name)
    header = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
    said = header[0].removeprefix("Purpose:").strip()
    return f"{said[0].upper()}{said[1:]}\n\n```sql\n{text}```"
