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

import polars as pl
import psutil
from rich.console import Console
from rich.table import Table

from pipeline.database import Database
from pipeline.engines import rollups
from pipeline.engines.spark_engine import SparkEngine
from pipeline.errors import EngineError
from pipeline.lake import periods
from pipeline.lake.partials import USAGE, USERS, open_partials, roll_up_days
from pipeline.lake.periods import State, open_periods, settle
from pipeline.refresh import refresh
from tests.benchmarks.clock import say
from tests.benchmarks.history import History
from tests.benchmarks.recompute import forget_partials
from tests.benchmarks.server import new_database, new_lake, running_server

MASTER = "local-cluster[2,1,2048]"
PORT = 15449
EXECUTOR = "CoarseGrainedExecutorBackend"
START_SECONDS = 180
KILLED_AFTER_SECONDS = 8
LOOK_EVERY_SECONDS = 0.2
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


def kill_an_executor(server: psutil.Process) -> None:
    """As a machine that is gone does it, after a few seconds."""
    time.sleep(KILLED_AFTER_SECONDS)
    for each in server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if EXECUTOR in " ".join(each.cmdline()):
                each.kill()
                say(f"executor {each.pid} killed")
                return
    raise RuntimeError("there is no executor")


def compute(database: Database, lake: str) -> dict[str, pl.DataFrame]:
    """All partials, from the raw events alone, and what they come to: by table."""
    forget_partials(lake)
    report = roll_up_days(database, lake)
    if report.failed:
        raise RuntimeError(f"days failed: {report.failed}")
    settle(database, lake, USAGE)
    settle(database, lake, USERS)
    say("rolled up and settled")
    made = {
        table.name: table.read().to_table() for table in (open_partials(lake), *open_periods(lake, USAGE))
    }
    made |= {table.name: table.read().to_table() for table in open_periods(lake, USERS)}
    totals = rollups.run("merged_partials", partials=State(lake, USAGE).scan())
    frames = {name: pl.DataFrame(rows) for name, rows in made.items()} | {"totals": totals}
    return {
        name: rows.select(sorted(rows.columns)).sort(sorted(rows.columns)) for name, rows in frames.items()
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--keep-executors", action="store_true", help="kill none")
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
        refresh(database, lake, history.first_day)
        say("made and refreshed")
        made: dict[str, dict[str, pl.DataFrame]] = {}
        taken: dict[str, Taken] = {}
        engine = connected(remote)
        taken["DuckDB"] = take(lambda: made.update(DuckDB=compute(database, lake)))
        if not arguments.keep_executors:
            Thread(target=kill_an_executor, args=[server]).start()
        with rollups.using(engine):
            taken["Spark"] = take(lambda: made.update(Spark=compute(database, lake)), server)
        table = Table(
            "", *taken, "Spark / DuckDB", title=f"{arguments.events:,} events, from the lake's raw events"
        )
        for what in ("seconds", "processor_seconds", "peak_mib"):
            found = [getattr(each, what) for each in taken.values()]
            table.add_row(what, *(f"{value:,.1f}" for value in found), f"{found[1] / found[0]:.1f}")
        Console().print(table)
        differing = [name for name, rows in made["DuckDB"].items() if not rows.equals(made["Spark"][name])]
        rows_of = {name: rows.height for name, rows in made["Spark"].items()}
        print(f"tables that differ: {differing or 'none'}; rows: {rows_of}")
        sys.exit(bool(differing))


if __name__ == "__main__":
    main()
