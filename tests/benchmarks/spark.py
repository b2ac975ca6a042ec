"""The rollups on Apache Spark, with two executors of which one dies in the middle, against DuckDB.

``SPARK_HOME=… python -m tests.benchmarks.spark --events 1000000``

``SPARK_HOME`` is that of the wheel ``pyspark``, in an environment of its own, since beside ``pyspark-client``
it can't be installed. Java 17 has to be there. The same raw events are rolled up and merged by both, from
nothing, and all rows of all tables are compared.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import duckdb
import polars as pl
import psutil
from rich.console import Console
from rich.table import Table

from pipeline.database.connections import Database
from pipeline.engines import rollups
from pipeline.engines.spark_engine import SparkEngine
from pipeline.errors import EngineError
from pipeline.lake import periods
from pipeline.lake.partials import USAGE, USERS, open_partials, roll_up_days
from pipeline.lake.periods import State, open_periods, settle
from pipeline.refresh import refresh
from tests.app import at
from tests.benchmarks.clock import say
from tests.benchmarks.history import History
from tests.benchmarks.recompute import forget_partials
from tests.benchmarks.server import new_database, new_lake, running_server

MASTER = "local-cluster[2,1,2048]"
PORT = 15449
EXECUTOR = "CoarseGrainedExecutorBackend"
START_SECONDS = 180
LOOK_EVERY_SECONDS = 0.2
ROWS_OF_PER_FILE = 1_000_000
MIB = 2**20


@dataclass
class Taken:
    """What an engine took, in all its processes: wall and processor time, and the most memory at a time."""

    seconds: float
    processor_seconds: float
    peak_mib: float


@contextmanager
def spark_server(home: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A Connect server with a cluster of its own for a block: its address and its process."""
    log = folder / "spark.log"
    command = [
        f"{home}/bin/spark-submit",
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        *("--master", MASTER, "--driver-memory", "3g"),
        *("--conf", f"spark.connect.grpc.binding.port={PORT}", "--conf", "spark.ui.enabled=false"),
        *("--conf", "spark.sql.shuffle.partitions=4", "spark-internal"),
    ]
    with (
        log.open("w") as said,
        subprocess.Popen(
            command, cwd=folder, env={**os.environ, "SPARK_HOME": home}, stdout=said, stderr=said
        ) as server,
    ):
        process = psutil.Process(server.pid)
        try:
            yield f"sc://127.0.0.1:{PORT}", process
        finally:
            for each in (*process.children(recursive=True), process):
                with suppress(psutil.NoSuchProcess):
                    each.kill()


def connected(remote: str) -> SparkEngine:
    """The engine, once the server answers."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            return SparkEngine(remote)
        except EngineError:
            if time.monotonic() > until:
                raise


def processes_of(server: psutil.Process | None) -> list[psutil.Process]:
    """This process, and those of Spark."""
    return [psutil.Process(), *([server, *server.children(recursive=True)] if server else [])]


def take(work: Callable[[], object], server: psutil.Process | None = None) -> Taken:
    """Does something and measures it."""
    peak, used = 0, dict[int, float]()
    before = {each.pid: sum(each.cpu_times()[:2]) for each in processes_of(server)}

    def look() -> None:
        nonlocal peak
        held = 0
        for each in processes_of(server):
            try:
                held += each.memory_info().rss
                used[each.pid] = sum(each.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, held)

    start = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        while not working.done():
            look()
            time.sleep(LOOK_EVERY_SECONDS)
    seconds = time.perf_counter() - start
    look()
    working.result()
    return Taken(seconds, sum(used[pid] - before.get(pid, 0.0) for pid in used), peak / MIB)


def kill_an_executor(server: psutil.Process, after_seconds: float) -> None:
    """As a machine that is gone does it, after some seconds."""
    time.sleep(after_seconds)
    for each in server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if EXECUTOR in " ".join(each.cmdline()):
                each.kill()
                say(f"executor {each.pid} killed")
                return
    raise RuntimeError("there is no executor")


def compute(database: Database, lake: str, kept: Path) -> None:
    """All partials, from the raw events alone, and what they come to: files below ``kept``, by table."""
    forget_partials(lake)
    report = roll_up_days(at(database, lake))
    if report.failed:
        raise RuntimeError(f"days failed: {report.failed}")
    say("rolled up")
    settle(at(database, lake), USAGE)
    settle(at(database, lake), USERS)
    say("settled")
    for table in (open_partials(lake), *open_periods(lake, USAGE), *open_periods(lake, USERS)):
        for number, batch in enumerate(table.read().to_batches(batch_size=ROWS_OF_PER_FILE)):
            folder = kept / table.name
            folder.mkdir(parents=True, exist_ok=True)
            pl.DataFrame(batch).write_parquet(folder / f"{number}.parquet")
    (kept / "totals").mkdir()
    totals = rollups.run("merged_partials", partials=State(lake, USAGE).scan())
    totals.write_parquet(kept / "totals" / "0.parquet")


def differences(ours: Path, theirs: Path) -> dict[str, tuple[int, int]]:
    """By table: its rows, and how many rows one of two results has and the other has not."""
    found = {}
    for folder in sorted(ours.iterdir()):
        with duckdb.connect(config={"memory_limit": "3GB", "temp_directory": str(ours.parent)}) as connection:
            one, other = (
                connection.read_parquet(f"{each / folder.name}/*.parquet") for each in (ours, theirs)
            )
            names = ", ".join(sorted(one.columns))
            lacking = [
                first.select(names).except_(second.select(names)).shape[0]
                for first, second in ((one, other), (other, one))
            ]
            rows = (one.shape[0], other.shape[0])
            found[folder.name] = (rows[1], sum(lacking) + abs(rows[0] - rows[1]))
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--kill-after", type=float, default=8, help="seconds until an executor is killed")
    arguments = parser.parse_args()
    periods.UNSETTLED_EVENTS = 0
    with (
        running_server() as place,
        new_database(place, "spark") as database,
        new_lake(place, "lake") as lake,
        spark_server(os.environ["SPARK_HOME"], place.folder) as (remote, server),
    ):
        history = History(database, arguments.events, dt.datetime.now(dt.UTC))
        history.make()
        refresh(at(database, lake, history.first_day))
        say("made and refreshed")
        ours, theirs = place.folder / "made" / "duckdb", place.folder / "made" / "spark"
        taken: dict[str, Taken] = {}
        engine = connected(remote)
        taken["DuckDB"] = take(lambda: compute(database, lake, ours))
        Thread(target=kill_an_executor, args=[server, arguments.kill_after]).start()
        with rollups.using(engine):
            taken["Spark"] = take(lambda: compute(database, lake, theirs), server)
        table = Table(
            "", *taken, "Spark / DuckDB", title=f"{arguments.events:,} events, from the lake's raw events"
        )
        for what in ("seconds", "processor_seconds", "peak_mib"):
            figures = [getattr(each, what) for each in taken.values()]
            table.add_row(what, *(f"{value:,.1f}" for value in figures), f"{figures[1] / figures[0]:.1f}")
        Console().print(table)
        if dt.datetime.now(dt.UTC).date() != history.until.date():
            say("Midnight (UTC) passed meanwhile: the partials of this month may cover another day")
        found = differences(ours, theirs)
        print(f"rows, and rows that differ, by table: {found}")
        sys.exit(any(differing for _, differing in found.values()))


if __name__ == "__main__":
    main()
