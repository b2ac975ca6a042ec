"""(b) What it costs to compute everything anew from the lake, against only reading the columns for it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from deltalake import DeltaTable

from pipeline.database.connections import Database
from pipeline.database.queries import query
from pipeline.lake.merge import merging
from pipeline.lake.partials import USAGE, USERS, DailyRollup, Rollup, roll_up_days
from pipeline.lake.periods import State, settle
from pipeline.lake.usage_events import SCHEMA, TABLE, open_usage_events
from pipeline.publish.values import QUERIES, publish_values
from tests.app import at
from tests.benchmarks.clock import median_seconds, medians, repeated_seconds, seconds_of
from tests.benchmarks.server import Place, new_lake
from tests.benchmarks.tables import Cell, Table, at_most, size_name

BOTH = "both"
VALUES = "by value"
AIM_AGAINST_READING = {"prompts": 4.0, BOTH: 18.0, VALUES: 20.0}
NAMES = {USAGE.query: "prompts", USERS.query: "users"}


@dataclass(frozen=True)
class Recompute:
    """Seconds of each step of a rollup of the whole history, and of reading its columns in two ways."""

    steps: dict[str, float]
    parquet_seconds: float
    arrow_seconds: float

    @property
    def seconds(self) -> float:
        """All steps."""
        return sum(self.steps.values())


@contextmanager
def lake_without_partials(place: Place, lake: str) -> Iterator[str]:
    """A second lake with the same raw events, as links to the same files, and nothing else."""
    with new_lake(place, f"{Path(lake).name}_anew") as scratch:
        shutil.copytree(Path(lake, TABLE), Path(scratch, TABLE), copy_function=os.link)
        yield scratch


def forget_partials(lake: str) -> None:
    """Removes all tables but the raw events."""
    for folder in Path(lake).iterdir():
        if folder.name != TABLE:
            shutil.rmtree(folder)


def measure_recompute(database: Database, lake: str) -> dict[str, Recompute]:
    """Both rollups of a lake that :func:`lake_without_partials` made, and the stats by value, of them apart.

    The stats of the same events are published, and stay.
    """
    rollups = {NAMES[rollup.query]: _measure(database, lake, rollup) for rollup in (USAGE, USERS)}
    return {**rollups, VALUES: _measure_values(database, lake)}


def _measure(database: Database, lake: str, rollup: Rollup) -> Recompute:
    name = f"recompute of {NAMES[rollup.query]}"
    columns = columns_read(rollup)
    parquet = median_seconds(f"{name}, columns through Parquet", lambda: _read_parquet(lake, columns))
    arrow = median_seconds(f"{name}, columns through Arrow", lambda: _read_arrow(lake, columns))
    runs: list[dict[str, float]] = []
    repeated_seconds(
        name, lambda: runs.append(_recompute(database, lake, rollup)), lambda: forget_partials(lake)
    )
    return Recompute(medians(runs), parquet, arrow)


def _measure_values(database: Database, lake: str) -> Recompute:
    columns = _columns_in(" ".join(query(f"engine/{name}") for name in QUERIES))
    name = "stats by value"
    parquet = median_seconds(f"{name}, columns through Parquet", lambda: _read_parquet(lake, columns))
    arrow = median_seconds(f"{name}, columns through Arrow", lambda: _read_arrow(lake, columns))
    counting = median_seconds(name, lambda: publish_values(at(database, lake), again=True))
    return Recompute({"merge": counting}, parquet, arrow)


def _recompute(database: Database, lake: str, rollup: Rollup) -> dict[str, float]:
    is_by_day = isinstance(rollup, DailyRollup)
    return {
        "roll up": seconds_of(lambda: roll_up_days(at(database, lake))) if is_by_day else 0.0,
        "settle": seconds_of(lambda: settle(at(database, lake), rollup)),
        "merge": seconds_of(lambda: _merge(lake, rollup)),
    }


def _merge(lake: str, rollup: Rollup) -> None:
    """Merges all partials, and drops the result: that of users need not fit into memory."""
    for _ in merging(State(lake, rollup).scan(), "dimension", "prompt_id"):
        pass


def columns_read(rollup: Rollup) -> list[str]:
    """The columns of the raw events that the rollup's query names."""
    return _columns_in(query(f"engine/{rollup.query}"))


def _columns_in(statements: str) -> list[str]:
    words = set(re.findall(r"\w+", re.sub(r"--.*", "", statements)))
    return [name for name in SCHEMA.names if name in words]


def files_of(lake: str) -> duckdb.DuckDBPyConnection:
    """DuckDB, with the raw events as the view ``usage_events`` over their files."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    files = DeltaTable(f"{lake}/{TABLE}").file_uris()
    connection.read_parquet(files, hive_partitioning=True).create_view(TABLE)
    return connection


def _read_parquet(lake: str, columns: list[str]) -> None:
    with files_of(lake) as connection:
        _read(connection, columns)


def _read_arrow(lake: str, columns: list[str]) -> None:
    with duckdb.connect() as connection:
        connection.register(TABLE, open_usage_events(lake).read())
        _read(connection, columns)


def _read(connection: duckdb.DuckDBPyConnection, columns: list[str]) -> None:
    # Or else it takes the largest value from the files' statistics, and reads nothing.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    largest = ", ".join(f"max({column})" for column in columns)
    connection.sql(f"SELECT {largest} FROM {TABLE}").fetchall()


def recompute_table(measured: Mapping[int, Mapping[str, Recompute]]) -> Table:
    """``measured``: by size of the history, as :func:`measure_recompute` gives it."""
    steps = ["roll up", "settle", "merge"]
    table = Table(
        "(b) Everything computed anew from the lake, seconds",
        "at most so many times as long as reading the same columns with DuckDB: "
        + ", ".join(f"{name} {aim:g}" for name, aim in AIM_AGAINST_READING.items()),
        ["", *steps, "all", "Parquet read", "all : Parquet", "Arrow read", "all : Arrow", "aim, of Parquet"],
        notes=[
            "Read: the largest value of each column that the rollup's query names; by DuckDB from the files,",
            "and by DuckDB from the Arrow dataset that the pipeline uses. Medians, warm. Merge: of all days,",
            "the result dropped; by value: counted, and compared with what is published.",
        ],
    )
    for size, rollups in sorted(measured.items()):
        by_user_too = [each for name, each in rollups.items() if name != VALUES]
        both = Recompute(
            {step: sum(each.steps[step] for each in by_user_too) for step in steps},
            sum(each.parquet_seconds for each in by_user_too),
            sum(each.arrow_seconds for each in by_user_too),
        )
        for name, each in {**rollups, BOTH: both}.items():
            ratio = each.seconds / each.parquet_seconds
            row: list[Cell] = [f"{size_name(size)}, {name}", *(each.steps.get(step) for step in steps)]
            row += [each.seconds, each.parquet_seconds, ratio]
            row += [each.arrow_seconds, each.seconds / each.arrow_seconds]
            aim = AIM_AGAINST_READING.get(name)
            table.rows.append([*row, aim and at_most(aim, ratio)])
    return table
