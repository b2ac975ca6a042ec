"""An engine reads the same rows from the files as Arrow does, whatever is asked for."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.engines.engine import Engine
from pipeline.engines.scan import Condition
from pipeline.errors import LakeError
from pipeline.lake import usage_events
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import SCHEMA, USERS

DAYS = [dt.date(2026, 1, 1), dt.date(2026, 1, 2), dt.date(2026, 1, 31)]
OLDER = pa.schema([field for field in SCHEMA if field.name != "generation_time_ps_sum"])
NAMES = [None, "", "a", "it's", "ä"]


def rows(schema: pa.Schema, day: dt.date) -> pa.Table:
    """A row per name."""
    values = {
        "prompt_id": NAMES,
        "dimension": ["prompt"] * len(NAMES),
        "usage_count": list(range(1, len(NAMES) + 1)),
        "ingest_xid": list(range(len(NAMES))),
        "synced_high": [9] * len(NAMES),
        "last_used_at": [dt.datetime(2026, 1, 1, number, tzinfo=dt.UTC) for number in range(len(NAMES))],
        "day": [day] * len(NAMES),
    }
    columns = [pa.array(values.get(field.name, [None] * len(NAMES)), field.type) for field in schema]
    return pa.table(columns, schema=schema)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> DailyTable:
    """Of three days, the first two written by an older version that had a column less."""
    lake = str(tmp_path_factory.mktemp("a lake=1, 100 %"))
    older = DailyTable(lake, "partials", OLDER)
    for day in DAYS[:2]:
        older.append(rows(OLDER, day))
    table = DailyTable(lake, "partials", SCHEMA)
    table.append(rows(SCHEMA, DAYS[2]))
    return table


COLUMN = pc.field("prompt_id")


@pytest.mark.parametrize(
    ("conditions", "same"),
    [
        ([], pc.scalar(True)),  # noqa: FBT003  a literal of Arrow
        ([("prompt_id", "=", "it's")], COLUMN == "it's"),
        ([("prompt_id", "is null", None)], COLUMN.is_null()),
        ([("prompt_id", ">=", ""), ("prompt_id", "<=", "a")], (COLUMN >= "") & (COLUMN <= "a")),
        ([("ingest_xid", "<", 3)], pc.field("ingest_xid") < 3),
    ],
)
@pytest.mark.parametrize("days", [None, DAYS[:1], DAYS[1:], []])
def test_an_engine_reads_what_arrow_reads(
    engine: Engine,
    table: DailyTable,
    days: list[dt.date] | None,
    conditions: list[Condition],
    same: pc.Expression,
) -> None:
    found = engine.table("prompt_days", partials=table.scan(days).where(*conditions))

    wanted = table.read(days).filter(same).to_table()
    order = [("day", "ascending"), ("usage_count", "ascending")]
    assert found.select(SCHEMA.names).cast(SCHEMA).sort_by(order).equals(wanted.sort_by(order))


def test_scans_add_up(engine: Engine, table: DailyTable) -> None:
    both = table.scan(DAYS[:1]) + table.scan([]) + table.scan(DAYS[2:])

    found = engine.table("prompt_days", partials=both)
    assert sorted(set(found["day"].to_pylist())) == [DAYS[0], DAYS[2]]
    assert found.num_rows == 2 * len(NAMES)


def test_only_rows_of_the_given_keys_are_read(engine: Engine, table: DailyTable) -> None:
    keys = pa.table({"day": [DAYS[0], DAYS[2]], "prompt_id": ["a", "ä"]})

    found = pl.DataFrame(engine.table("prompt_days", partials=table.scan().only(keys)))
    assert sorted(found.select("day", "prompt_id").iter_rows()) == [(DAYS[0], "a"), (DAYS[2], "ä")]


@pytest.mark.parametrize("is_local", [True, False])
def test_each_raw_event_is_a_partial_of_its_user(engine: Engine, tmp_path: Path, *, is_local: bool) -> None:
    events = DailyTable(str(tmp_path), "usage_events", usage_events.SCHEMA)
    values = {"prompt_id": "p", "user_id": "u", "success": False, "generation_time_ms": 7, "day": DAYS[0]}
    names = usage_events.SCHEMA.names
    given = [
        values | {"ingest_xid": 3, "synced_high": 9},
        {"day": DAYS[1], "ingest_xid": 4, "synced_high": 9},
    ]
    events.append(pa.Table.from_pylist([dict.fromkeys(names) | row for row in given], usage_events.SCHEMA))
    scan = events.scan()
    if not is_local:
        scan = replace(scan, parts=tuple(part._replace(paths=None) for part in scan.parts))

    found = pl.DataFrame(engine.table("merged_partials", partials=scan.through(USERS.query, SCHEMA)))
    columns = ["prompt_id", "value", "usage_count", "success_count", "failure_count", "timed_count"]
    rows = found.sort("ingest_xid").select(*columns, "generation_time_ms_sum", "ingest_xid").rows()
    assert rows == [("p", "u", 1, 0, 1, 1, 7, 3), (None, None, 1, 0, 0, 0, 0, 4)]


def test_a_file_that_is_gone_is_an_error_of_the_lake(engine: Engine, tmp_path: Path) -> None:
    table = DailyTable(str(tmp_path), "partials", SCHEMA)
    table.append(rows(SCHEMA, DAYS[0]))
    scan = table.scan()
    for file in tmp_path.glob("partials/day=*/*.parquet"):
        file.unlink()

    with pytest.raises(LakeError, match=r"\.parquet"):
        engine.table("prompt_days", partials=scan)
