"""This project beside its peers: the same rollups, of the same events, in one session.

``python -m tests.benchmarks.peers --events 20000000 --dbt PYTHON --sqlmesh PYTHON --chdb PYTHON``

Counts, successes, failures and times by prompt, scene and day, and totals by prompt made of them; built from
nothing, then after 10,000 new events of today, 1,000 late ones, 1,000 deletions, and for a backfill of 10
days. After each step every result is compared with a recount of the raw table. ``PYTHON`` is the interpreter
of an environment with the ``requirements-….txt`` of this folder; who has none is left out.

Postgres holds the raw events. Who does not read Postgres gets them as Parquet files, one per day, which are
made anew for the days that changed; that takes the others nothing here. Where a tool looks back, it does so
for three days. The seconds are without the start of a process or a tool. Memory is that of all processes of
a contestant and of the server, what they share left out.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import polars as pl
import psutil
import psycopg
import pyarrow.parquet as pq
from adbc_driver_postgresql.dbapi import connect

from pipeline.database.connections import Database
from pipeline.days import ONE_DAY
from tests.benchmarks.clock import say
from tests.benchmarks.history import FRESH_EVENTS, IN_ORDER, ZIPF, History
from tests.benchmarks.peers.measures import SCENE_DAY, TOTALS
from tests.benchmarks.peers.worker import Place as PeerPlace
from tests.benchmarks.peers.worker import Step
from tests.benchmarks.server import Place, new_database, running_server
from tests.benchmarks.tables import Cell, Table, machine
from tests.command import REPOSITORY

MIB = 2**20
LOOK_EVERY_SECONDS = 0.1
CHANGED_EVENTS = 1_000
CHANGED_DAYS = 20
BACKFILLED_DAYS = 10
LOOKBACK_DAYS = 3
STEPS = ("build", "append", "late", "delete", "backfill")
KEYS = {"scene_day": ["day", "prompt_id", "scene"], "totals": ["prompt_id"]}
COUNTS = ["usage_count", "success_count", "failure_count"]
COMPARED = {
    "scene_day": [*KEYS["scene_day"], *COUNTS, "timed_count", "time_ms_sum"],
    "totals": [*KEYS["totals"], *COUNTS, "avg_time_ms", "last_used_at"],
}

RECOUNT = {
    "scene_day": f"""
        SELECT (created_at AT TIME ZONE 'UTC')::date AS day, prompt_id::text, scene, {SCENE_DAY}
        FROM prompt_usage GROUP BY 1, 2, 3
    """,
    "totals": f"""
        SELECT prompt_id, {TOTALS}
        FROM (SELECT prompt_id::text, {SCENE_DAY} FROM prompt_usage GROUP BY prompt_id) AS by_prompt
        GROUP BY prompt_id
    """,
}
EVENTS_OF_DAY = """
SELECT id::text, prompt_id::text, scene, success, generation_time_ms, created_at
FROM prompt_usage WHERE created_at >= '{day}Z' AND created_at < '{day}Z'::timestamptz + interval '1 day'
"""
DELETE_SOME = """
DELETE FROM prompt_usage WHERE id IN (
    SELECT id FROM prompt_usage
    WHERE created_at >= %(day)s::timestamptz AND created_at < %(day)s::timestamptz + interval '1 day'
    LIMIT %(events)s
)
"""


@dataclass
class Contestant:
    """One way of making the two tables, and what it took."""

    title: str
    command: list[str]
    published: tuple[str, str] | None = None
    """Its tables, where Postgres holds them; else it writes files."""

    process: subprocess.Popen[str] | None = None
    folder: Path = Path()
    seconds: dict[str, list[float]] = field(default_factory=dict)
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    is_right: dict[str, bool] = field(default_factory=dict)
    peak_bytes: int = 0


def contestants(arguments: argparse.Namespace) -> list[Contestant]:
    """Those whose environments were named, and those that need none."""

    def of(module: str, *more: str, python: str = sys.executable) -> list[str]:
        return [python, "-m", f"tests.benchmarks.peers.{module}", *more]

    found = [
        Contestant("prompt-stats", of("ours")),
        Contestant(
            "Postgres, materialized views",
            of("plain_postgres"),
            ("plain_postgres.prompt_scene_day", "plain_postgres.prompt_totals"),
        ),
        Contestant("polars, streaming", of("polars_streaming")),
    ]
    if arguments.chdb:
        found.append(Contestant("ClickHouse in process (chdb)", of("clickhouse", python=arguments.chdb)))
    if arguments.dbt:
        tables = ("dbt.incremental_scene_day", "dbt.incremental_totals")
        for title, *more in (
            ("dbt-duckdb, incremental", "duckdb", "incremental"),
            ("dbt-duckdb, microbatch", "duckdb", "microbatch"),
            ("dbt-postgres, incremental", "postgres", "incremental"),
        ):
            command = of("by_dbt", *more, python=arguments.dbt)
            found.append(Contestant(title, command, tables if "postgres" in more else None))
    if arguments.sqlmesh:
        found.append(Contestant("SQLMesh on DuckDB", of("by_sqlmesh", python=arguments.sqlmesh)))
    return found


@contextmanager
def ready(contestant: Contestant, given: PeerPlace) -> Iterator[None]:
    """Its process, for a block."""
    with subprocess.Popen(
        contestant.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as process:
        _tell(process, given._asdict())
        contestant.process, contestant.folder = process, Path(given.folder)
        try:
            yield
        finally:
            process.kill()


def ask(contestant: Contestant, step: Step) -> dict[str, float]:
    """Has it do a step: the seconds of its parts, and ``seconds`` of all.

    :raises RuntimeError: it ended; what it said stands above.
    """
    process = contestant.process
    assert process
    assert process.stdout
    _tell(process, step._asdict())
    said = process.stdout.readline()
    if not said:
        raise RuntimeError(f"{contestant.title}, {step.name}: it ended")
    answer = json.loads(said)
    return {**answer["parts"], "seconds": answer["seconds"]}


def _tell(process: subprocess.Popen[str], what: dict[str, str]) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(what) + "\n")
    process.stdin.flush()


@contextmanager
def watched(contestant: Contestant, server: psutil.Process) -> Iterator[None]:
    """Notes the most memory that it and the server hold of their own while the block runs."""
    assert contestant.process
    ended = threading.Event()
    own = psutil.Process(contestant.process.pid)
    before = _private_bytes(server)

    def look() -> None:
        is_over = False
        while not is_over:
            is_over = ended.wait(LOOK_EVERY_SECONDS)
            held = _private_bytes(own) + max(_private_bytes(server) - before, 0)
            contestant.peak_bytes = max(contestant.peak_bytes, held)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def _private_bytes(process: psutil.Process) -> int:
    held = 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            held += each.memory_full_info().uss
    return held


class Events:
    """The raw events: in Postgres, and as files of the days."""

    def __init__(self, history: History, folder: Path) -> None:
        """Nothing is made yet."""
        self.history, self.folder = history, folder

    def change(self, step: str) -> None:
        """What happens before a step."""
        days, history = self.history.days, self.history
        old = days[-BACKFILLED_DAYS - CHANGED_DAYS // 2 : -BACKFILLED_DAYS] or days[:1]
        touched = [*old, *days[-CHANGED_DAYS // 2 :]]
        each = CHANGED_EVENTS // len(touched)
        if step == "build":
            self.write(days)
        elif step == "append":
            history.add_fresh()
            self.write(days[-1:])
        elif step == "late":
            with psycopg.connect(history.database.conninfo, autocommit=True) as connection:
                for day in touched:
                    start = dt.datetime.combine(day, dt.time(), dt.UTC)
                    length = min(ONE_DAY, history.until - start)
                    history.add(connection, ZIPF, IN_ORDER, each, start, length)
            self.write(touched)
        elif step == "delete":
            with psycopg.connect(history.database.conninfo, autocommit=True) as connection:
                for day in touched:
                    connection.execute(DELETE_SOME, {"day": f"{day}T00:00Z", "events": each})
            self.write(touched)

    def write(self, days: Sequence[dt.date]) -> None:
        """Makes the files of some days anew."""
        with connect(self.history.database.conninfo) as connection, connection.cursor() as cursor:
            for day in days:
                (self.folder / f"day={day}").mkdir(parents=True, exist_ok=True)
                cursor.execute(EVENTS_OF_DAY.format(day=day))
                rows = cursor.fetch_arrow_table()
                pq.write_table(rows, self.folder / f"day={day}" / "events.parquet", compression="zstd")


def recount(database: Database) -> dict[str, pl.DataFrame]:
    """Both tables from the raw events, by Postgres."""
    return {table: _rows(database, statement) for table, statement in RECOUNT.items()}


def _rows(database: Database, statement: str) -> pl.DataFrame:
    with connect(database.conninfo) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return pl.DataFrame(cursor.fetch_arrow_table())


def result_of(contestant: Contestant, database: Database) -> dict[str, pl.DataFrame]:
    """Both tables as a contestant has them."""
    if contestant.published:
        scene_day, totals = contestant.published
        columns = ["prompt_id::text", *COMPARED["totals"][1:]]
        return {
            "scene_day": _rows(
                database,
                f"SELECT day, prompt_id::text, {', '.join(COMPARED['scene_day'][2:])} FROM {scene_day}",
            ),
            "totals": _rows(database, f"SELECT {', '.join(columns)} FROM {totals}"),
        }
    ask(contestant, Step("export", "", ""))
    return {table: pl.read_parquet(contestant.folder / f"prompt_{table}.parquet") for table in KEYS}


def is_equal(found: pl.DataFrame, true: pl.DataFrame, table: str) -> bool:
    """Whether a table is the recount's, every count, sum and time; means within the rounding of a double."""
    columns = COMPARED[table]

    def alike(rows: pl.DataFrame) -> pl.DataFrame:
        made = rows.select(columns).with_columns(
            pl.col(COUNTS).cast(pl.Int64), pl.col("prompt_id").cast(pl.String)
        )
        if table == "totals":
            made = made.with_columns(
                pl.col("avg_time_ms").round_sig_figs(12),
                pl.col("last_used_at").dt.cast_time_unit("us").dt.epoch("us"),
            )
        else:
            made = made.with_columns(
                pl.col("day").cast(pl.Date),
                pl.col("scene").cast(pl.String),
                pl.col("timed_count", "time_ms_sum").cast(pl.Int64),
            )
        return made.sort(KEYS[table])

    return alike(found).equals(alike(true))


def run(place: Place, arguments: argparse.Namespace, taking_part: list[Contestant]) -> None:
    """All steps by all, on events made for it."""
    server = psutil.Process(int(_postmaster(place)))
    until = dt.datetime.now(dt.UTC)
    with new_database(place, "peers") as database, ExitStack() as stack:
        history = History(database, arguments.events, until)
        history.make()
        events = Events(history, place.folder / "events")
        for number, each in enumerate(taking_part):
            folder = place.folder / f"contestant_{number}"
            folder.mkdir()
            given = PeerPlace(
                database.conninfo,
                str(events.folder),
                str(folder),
                history.days[0].isoformat(),
                history.days[-1].isoformat(),
            )
            stack.enter_context(ready(each, given))
        days = history.days[-BACKFILLED_DAYS - 5 : -5] or history.days[:1]
        for name in STEPS:
            for _ in range(arguments.appends if name == "append" else 1):
                events.change(name)
                history.settle_down()
                true = recount(database)
                step = Step(name, days[0].isoformat(), days[-1].isoformat())
                for each in taking_part:
                    _take_turn(each, step, true, database, server)


def _take_turn(
    each: Contestant, step: Step, true: dict[str, pl.DataFrame], database: Database, server: psutil.Process
) -> None:
    with watched(each, server):
        took = ask(each, step)
    each.seconds.setdefault(step.name, []).append(took.pop("seconds"))
    each.parts[step.name] = took
    found = result_of(each, database)
    wrong = [table for table in KEYS if not is_equal(found[table], true[table], table)]
    each.is_right[step.name] = each.is_right.get(step.name, True) and not wrong
    said = f"wrong: {', '.join(wrong)}" if wrong else "right"
    say(f"{step.name}: {each.title}: {each.seconds[step.name][-1]:.2f} s, {said}, {took}")


def _postmaster(place: Place) -> str:
    with psycopg.connect(place.url) as connection:
        row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert row
    return str(row[0]).splitlines()[0]


def table_of(taking_part: list[Contestant], events: int) -> Table:
    """What it took each, and whether it was right after each step."""
    table = Table(
        f"Side by side, {events:,} events",
        "first, or within 1.2 times of the first, in every time, and right after every step",
        [
            "seconds",
            "first build",
            f"{FRESH_EVENTS:,} new",
            "1,000 late",
            "1,000 deleted",
            "10 days again",
            "MiB",
        ],
        notes=["A time in brackets: the result was not the recount's."],
    )
    for each in taking_part:
        row: list[Cell] = [each.title]
        for name in STEPS:
            seconds = median(each.seconds[name]) if name in each.seconds else None
            if seconds is None:
                row.append(None)
            else:
                row.append(f"{seconds:,.2f}" if each.is_right[name] else f"({seconds:,.2f})")
        table.rows.append([*row, round(each.peak_bytes / MIB)])
        for part in dict.fromkeys(part for parts in each.parts.values() for part in parts):
            table.rows.append([f"- {part}", *(each.parts.get(name, {}).get(part) for name in STEPS), None])
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--appends", type=int, default=3, help="how often new events are appended: medians")
    for name in ("dbt", "sqlmesh", "chdb"):
        parser.add_argument(f"--{name}", help=f"interpreter of an environment with requirements-{name}.txt")
    arguments = parser.parse_args()
    taking_part = contestants(arguments)
    with running_server() as place:
        try:
            print("\n".join(f"{name}: {value}" for name, value in machine(place.url).items()))
            run(place, arguments, taking_part)
        finally:
            print(table_of(taking_part, arguments.events).markdown())
            shutil.rmtree(place.folder / "events", ignore_errors=True)


if __name__ == "__main__":
    main()
