"""Spark answers each rollup as DuckDB does, row by row; and a whole refresh on it is true."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import traceback
from bisect import bisect_left
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.database.connections import Database
from pipeline.engines import duckdb_engine, rollups, spark_engine
from pipeline.engines.engine import Engine
from pipeline.engines.scan import Input, Part, Scan
from pipeline.engines.spark_engine import SparkEngine
from pipeline.errors import EngineError, LakeError
from pipeline.health.doctor import folders
from pipeline.health.doctor.findings import Status
from pipeline.health.doctor.setup import Setup
from pipeline.lake import partials, usage_events
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.partials import SCHEMA, USAGE, USERS
from pipeline.maintenance.reconcile import reconcile
from pipeline.refresh import refresh
from pipeline.settings import EngineName, Settings
from tests.app import at
from tests.command import environment, prompt_stats
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount

DAYS = [dt.date(2026, 1, 1) + dt.timedelta(days=number) for number in range(5)]
TEXTS = [None, "", " ", "it's", 'a "b"', "\\N", "a\nb", "NULL", "é\u2028😀", "$today", "{x}"]
TIMES = [None, 0, -5, 1, 2, 2**31 - 1, -(2**31)]
MOMENTS = [
    None,
    dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    dt.datetime(1582, 10, 10, tzinfo=dt.UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    dt.datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
]
SECRET = "S3cret+Hush"  # noqa: S105  # it opens nothing
EVENT_COUNT = 3000
NO_KINDS = pa.table({"error_message": pa.array([], pa.string()), "error_kind": pa.array([], pa.string())})


def random_events(seed: int) -> pa.Table:
    """Events with all that an event may have."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    rows = [
        {
            **dict.fromkeys(usage_events.SCHEMA.names),
            "id": str(number),
            "prompt_id": rng.choice([None, "p", "q", "ä"]),
            "user_id": rng.choice([None, "u", "v"]),
            "scene": rng.choice(TEXTS),
            "environment": rng.choice(TEXTS),
            "outfit": rng.choice(TEXTS),
            "success": rng.choice([True, False, None]),
            "generation_time_ms": rng.choice([*TIMES, rng.randrange(1, 60_000), rng.randrange(2**31)]),
            "generation_time_ps": rng.choice([None, 1, 999_999_999]),
            "error_message": rng.choice([None, "", "timeout after 30 s", "timeout after 31 s", "x'y" * 900]),
            "created_at": rng.choice(MOMENTS),
            "ingest_xid": rng.randrange(100),
            "synced_high": rng.randrange(100, 200),
            "day": rng.choice(DAYS),
        }
        for number in range(EVENT_COUNT)
    ]
    return pa.Table.from_pylist(rows, usage_events.SCHEMA)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> DailyTable:
    """Of a few days, in several files each, the first written by an older version that had a column less."""
    lake = str(tmp_path_factory.mktemp("lake"))
    rows = random_events(19)
    older = rows.drop_columns(["generation_time_ps"])
    DailyTable(lake, usage_events.TABLE, older.schema).append(older.slice(0, 1000))
    table = DailyTable(lake, usage_events.TABLE, usage_events.SCHEMA)
    table.append(rows.slice(1000, 1000))
    table.append(rows.slice(2000))
    return table


def ledger(table: DailyTable) -> pa.Table:
    held = table.days().select("day", "synced_high", partials.made_from(USAGE), ingest_xid="mark")
    return held.to_arrow()


def answer(engine: Engine, name: str, inputs: Mapping[str, Input]) -> pl.DataFrame:
    """All rows in an order."""
    found = pl.DataFrame(engine.table(name, **inputs))
    return found.sort(found.columns, nulls_last=True)


@pytest.mark.parametrize("is_empty", [False, True])
def test_each_rollup_has_the_same_rows(spark_engine: Engine, events: DailyTable, *, is_empty: bool) -> None:
    scan = events.scan([] if is_empty else None)
    kinds = NO_KINDS if is_empty else partials.error_kinds(scan)
    daily: dict[str, Input] = {"usage_events": scan, "error_kinds": kinds, "ledger": ledger(events)}
    made = duckdb_engine.table(USAGE.query, **daily).select(SCHEMA.names).cast(SCHEMA)
    asked: list[tuple[str, dict[str, Input]]] = [
        ("error_messages", {"usage_events": scan}),
        (USAGE.query, daily),
        (USERS.query, {"usage_events": scan}),
        ("user_prompts_changed", {"usage_events": scan, "earlier": events.scan(DAYS[:2])}),
        ("prompt_value_errors", {"usage_events": scan, "error_kinds": kinds}),
        ("merged_partials", {"partials": scan.through(USERS.query, SCHEMA)}),
        *((name, {"partials": made}) for name in ("merged_partials", "merged_values")),
        *((name, {"partials": made}) for name in ("partial_sizes", "prompt_days")),
    ]
    for name, inputs in asked:
        wanted, found = answer(duckdb_engine, name, inputs), answer(spark_engine, name, inputs)
        assert found.schema == wanted.schema, name
        assert found.equals(wanted), name
        assert found.is_empty() == (is_empty and name != "user_prompts_changed"), name


def test_a_stream_is_in_the_order_that_was_asked_for(engine: Engine, events: DailyTable) -> None:
    scan = events.scan().through(USERS.query, SCHEMA)
    with engine.stream("merged_partials", ["value", "prompt_id"], partials=scan) as rows:
        found = pl.DataFrame(rows.read_all())

    assert found.equals(found.sort("value", "prompt_id", nulls_last=True))
    assert found.height == 12


def test_no_edge_of_a_bucket_is_taken_for_another(engine: Engine, tmp_path: Path) -> None:
    """A logarithm only rises, so the ends of a bucket show where all between them go."""
    power, ends = Fraction(1), [1]
    while ends[-1] < 10**12:
        power *= Fraction(51, 49)
        ends.append(int(power))
    wanted = {time: bisect_left(ends, time) for end in ends[:-1] for time in (end, end + 1)}
    assert max(wanted) > 2**31
    table = DailyTable(str(tmp_path), usage_events.TABLE, usage_events.SCHEMA)
    names = usage_events.SCHEMA.names
    rows = [
        {**dict.fromkeys(names), "prompt_id": str(ms), "generation_time_ms": ms, "day": DAYS[0]}
        | {"ingest_xid": 1, "synced_high": 1}
        for ms in wanted
    ]
    table.append(pa.Table.from_pylist(rows, usage_events.SCHEMA))
    made = engine.table(USAGE.query, usage_events=table.scan(), error_kinds=NO_KINDS, ledger=ledger(table))
    found = pl.DataFrame(made).filter(pl.col("dimension") == "time")
    assert {int(ms): int(value) for ms, value in found.select("prompt_id", "value").iter_rows()} == wanted


def test_queries_at_once_do_not_see_each_others_tables(spark_engine: Engine, events: DailyTable) -> None:
    def count(day: dt.date) -> int:
        return len(spark_engine.table(USERS.query, usage_events=events.scan([day])))

    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(DAYS, pool.map(count, DAYS), strict=True))
    assert found == dict(events.days().select("day", "usage_count").iter_rows())


def test_a_folder_that_spark_does_not_see_is_named(
    spark_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sail would take it for an empty one."""
    pq.write_table(pa.table({"prompt_id": ["p"], "usage_count": [1]}), tmp_path / "a.parquet")
    schema = pa.schema([("prompt_id", pa.string()), ("usage_count", pa.int64()), ("day", pa.date32())])
    # Each process has a working directory of its own.
    monkeypatch.chdir(tmp_path)
    part = Part(schema, None, lambda: ds.dataset([]), lambda: [(DAYS[0], "file:///proc/self/cwd/a.parquet")])

    with pytest.raises(EngineError, match=r"sees 0 of 1 files.*mount its folder on all machines of Spark"):
        spark_engine.table("partial_sizes", partials=Scan(schema, (part,)))


def test_a_file_that_is_no_parquet_is_an_error_of_the_lake(engine: Engine, tmp_path: Path) -> None:
    table = DailyTable(str(tmp_path), usage_events.TABLE, usage_events.SCHEMA)
    table.append(random_events(1).slice(0, 9))
    scan = table.scan()
    for file in tmp_path.glob("*/day=*/*.parquet"):
        file.write_bytes(b"x" * file.stat().st_size)

    with pytest.raises(LakeError, match="Computing error_messages"):
        engine.table("error_messages", usage_events=scan)


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        (
            "sc://127.0.0.1:1/;token={}",
            "Connecting to Spark at 127.0.0.1:1: no Spark Connect server answered",
        ),
        ("sc://host/;token={}==", "SPARK_REMOTE is not as Spark Connect has it"),
        ("sc://host:1/path;token={}", "SPARK_REMOTE is not as Spark Connect has it"),
        ("sc://user:{}@host:port", "SPARK_REMOTE is not as Spark Connect has it"),
    ],
)
def test_a_server_that_is_not_there_is_said_without_the_token(
    remote: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_engine, "CONNECT_SECONDS", 0.1)
    with pytest.raises(EngineError) as raised:
        SparkEngine(remote.format(SECRET))
    assert said in str(raised.value)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("remote", [None, "", "local[*]", "sc://", f"https://{SECRET}@host", "sc://:1"])
def test_spark_without_an_address_is_refused_before_anything_is_done(remote: str | None) -> None:
    given = {"PROMPT_STATS_ENGINE": "spark"} | ({"SPARK_REMOTE": remote} if remote is not None else {})
    with pytest.raises(ValidationError, match="SPARK_REMOTE names no server"):
        Settings.model_validate(given)
    assert Settings.model_validate({**given, "PROMPT_STATS_ENGINE": "duckdb"}).engine is EngineName.DUCKDB


def test_its_client_is_loaded_where_it_is_wanted_and_else_said_to_be_missing(tmp_path: Path) -> None:
    program = (
        "import sys; import pipeline.engines.rollups as rollups\n"
        "assert not {'pyspark', 'grpc'} & sys.modules.keys()\n"
        "sys.modules['pyspark'] = None; rollups.table('error_messages')"
    )
    given = environment(tmp_path, PROMPT_STATS_ENGINE="spark", SPARK_REMOTE=f"sc://host/;token={SECRET}")
    done = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True)
    assert "pip install 'prompt-stats[spark]'" in done.stderr
    assert SECRET not in done.stderr


class SetupOnSpark(Setup):
    """An installation whose rollups run on Spark."""

    def __init__(self, lake: str, remote: str) -> None:
        given = {"PROMPT_STATS_ENGINE": "spark", "SPARK_REMOTE": remote, "PROMPT_STATS_LAKE_URI": lake}
        self._settings = Settings.model_validate(given)

    @property
    def settings(self) -> Settings:
        """Not those of this process."""
        return self._settings


def test_the_doctor_looks_whether_spark_sees_the_lake(
    spark_remote: str, spark_engine: Engine, events: DailyTable, tmp_path: Path
) -> None:
    lake = events.uri.rstrip("/").removesuffix(f"/{usage_events.TABLE}")
    with rollups.using(spark_engine):
        said = [
            [(found.status, found.summary) for found in folders.engine(SetupOnSpark(each, spark_remote))]
            for each in (str(tmp_path), lake)
        ]
    assert said == [[(Status.OK, "Spark answers")], [(Status.OK, "Spark answers and sees the lake")]]


APPENDED = """
    INSERT INTO prompts (id, name, template)
    SELECT lpad(n::text, 32, '0')::uuid, 'n', 't' FROM generate_series(1, 4) AS n;

    INSERT INTO prompt_usage
        (prompt_id, user_id, scene, outfit, success, generation_time_ms, error_message, created_at)
    SELECT lpad((n % 3 + 1)::text, 32, '0')::uuid,
           CASE WHEN n % 5 > 0 THEN lpad((n % 7)::text, 32, '0')::uuid END,
           (ARRAY['cafe', '', NULL])[n % 3 + 1], (ARRAY['suit', 'it''s'])[n % 2 + 1],
           n % 10 <> 0, nullif(n * day * 7, 0), CASE WHEN n % 10 = 0 THEN 'out of memory' END,
           now() - day * interval '1 day'
    FROM unnest(ARRAY[0, 1, 2, 5, 20, 40, 200]) AS day, generate_series(1, 30) AS n;
    INSERT INTO prompt_usage (prompt_id, scene) VALUES (lpad('1', 32, '0')::uuid, 'undated');
"""


def test_a_refresh_equals_the_recount(
    database: Database, tmp_path: Path, spark_remote: str, spark_engine: Engine
) -> None:
    lake = str(tmp_path / "lake")
    with psycopg.connect(database.conninfo, autocommit=True) as app, rollups.using(spark_engine):
        app.execute(APPENDED)
        given = {"DATABASE_URL": database.conninfo, "PROMPT_STATS_ENGINE": "spark"}
        done = prompt_stats(tmp_path, "refresh", **given, SPARK_REMOTE=spark_remote)
        assert done.returncode == 0, done.stderr
        assert_equals_recount(database, FIRST_DAY)
        app.execute(
            "DELETE FROM prompt_usage WHERE scene = 'cafe' AND created_at < now() - interval '30 days'"
        )
        refresh(at(database, lake), values=True)
        assert_equals_recount(database, FIRST_DAY)
        report = reconcile(at(database, lake))
        assert (report.repaired, report.rebuilt, report.lost, report.rows_corrected) == ({}, {}, {}, {})
