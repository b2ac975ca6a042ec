"""Measures how fast the API answers the app's two questions, against the app's own live queries.

``python -m tests.benchmarks.answers [--events 1000000 10000000] [--seconds 30] [--json FILE]``

Prints a table per part: (a) the time of an answer at a steady pace, while nothing else happens and while
refreshes run one after the other, (b) answers a second, as fast as they come, (c) lists and rankings of all
prompts at a steady pace, (d) answers that are asked for first after a refresh, one by one.

The API is ``prompt-stats serve``, a process of its own on one core; ``wrk`` (Debian's package) asks from the
other cores, where Postgres works too. The live queries go straight to Postgres, with no HTTP in between, from
as many connections, on the same tables, with an index on ``prompt_id`` that ours don't need.

wrk has no pace of its own: each of its connections waits after an answer for as long as the pace leaves.

It starts a server of its own, as ``tests.benchmarks.refresh`` does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psycopg

from pipeline.database.connections import Database
from pipeline.refresh import refresh
from tests.app import at
from tests.benchmarks.clock import say
from tests.benchmarks.history import History
from tests.benchmarks.server import Place, new_database, new_lake, running_server
from tests.benchmarks.tables import Table, at_least, at_most, machine, size_name
from tests.command import environment

PROMPTS = 10_000
CLIENTS = 4
QUESTIONS = 2_000
PACE = 500
AIM_P99_MS = 5.0
LISTS_PACE = 100
AIM_LISTS_P99_MS = 20.0
AIM_PER_SECOND = 3_000
WARM_SECONDS = 3.0
API_CORE = 0

STATS, TOP = "/prompts/{id}/stats", "/prompts/top/used"
RANKINGS = ("usage", "favored", "best", "failing", "slowest", "rising", "falling")
LISTS = {
    "/prompts": [f"/prompts?offset={50 * page}" for page in range(10)],
    "/prompts/top/{ranking}": [f"/prompts/top/{ranking}?limit=50" for ranking in RANKINGS],
}

# What the app asks when it keeps no counters.
LIVE = {
    STATS: """
        SELECT
            count(*),
            count(*) FILTER (WHERE success),
            count(*) FILTER (WHERE NOT success),
            count(*) FILTER (WHERE success)::float / nullif(count(*), 0) * 100,
            avg(generation_time_ms)::float,
            max(created_at)
        FROM prompt_usage
        WHERE prompt_id = %(prompt_id)s""",
    TOP: """
        SELECT p.*, used.usage_count, used.success_count
        FROM prompts p
        JOIN (
            SELECT prompt_id, count(*) AS usage_count, count(*) FILTER (WHERE success) AS success_count
            FROM prompt_usage
            GROUP BY prompt_id
        ) AS used ON used.prompt_id = p.id
        WHERE p.is_active AND p.deleted_at IS NULL
        ORDER BY used.usage_count DESC, used.success_count DESC
        LIMIT 10""",
}

Ask = Callable[[str], None]
"""Asks about one prompt, and waits for the answer."""


@contextmanager
def serving(database: Database, lake: str, home: Path) -> Iterator[int]:
    """``prompt-stats serve`` on one core; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    values = environment(home, DATABASE_URL=database.conninfo, PROMPT_STATS_LAKE_URI=lake)
    command = [sys.executable, "-m", "pipeline", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=values, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        os.sched_setaffinity(process.pid, {API_CORE})
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("prompt-stats serve did not start")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


SCRIPT = """
local paths = {{{paths}}}
local turn = 0
request = function()
    turn = turn % #paths + 1
    return wrk.format("GET", paths[turn])
end
delay = function() return {pause_ms} end
done = function(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        "measured %f %f %f %f %d\\n",
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
        summary.requests / summary.duration * 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout
    ))
end
"""
"""For wrk, which has no other form for its figures that a program should read. Times are in milliseconds."""


class Answers(NamedTuple):
    """What wrk measured; times in milliseconds."""

    p50_ms: float
    p99_ms: float
    longest_ms: float
    per_second: float


def answers_of(port: int, paths: Sequence[str], seconds: float, per_second: int | None = None) -> Answers:
    """What the API answers to these paths in turn; ``per_second``: at most so many, about.

    :raises RuntimeError: an answer was an error.
    """
    pause_ms = CLIENTS * 1000 // per_second if per_second else 0
    listed = ", ".join(f'"{path}"' for path in paths)
    script = SCRIPT.format(paths=listed, pause_ms=pause_ms)
    if not per_second:
        # With a delay of nothing, wrk would look at its timers before each request.
        script = re.sub(r"delay = .*\n", "", script)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t", "1", "-c", str(CLIENTS), "-d", f"{math.ceil(seconds)}s", "-s", file.name]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True
        )
    *figures, errors = done.stdout.rpartition("measured ")[2].split()
    if int(errors):
        raise RuntimeError(f"{errors} answers were errors:\n{done.stdout}")
    return Answers(*map(float, figures))


def first_answers_ms(port: int, paths: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How long each took that was asked for on one connection, one after the other."""
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        times = []
        for path in paths:
            begin = time.perf_counter()
            connection.request("GET", path)
            connection.getresponse().read()
            times.append(time.perf_counter() - begin)
    return np.array(times) * 1000


@contextmanager
def refreshing(database: Database, lake: str, events: int) -> Iterator[None]:
    """Refreshes one after the other for the block, each with new events."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            fresh_refresh(database, lake, events)

    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(run)
        try:
            yield
        finally:
            ended.set()
            running.result()


def fresh_refresh(database: Database, lake: str, events: int) -> None:
    """A refresh with new events."""
    history = History(database, events, datetime.now(UTC), PROMPTS)
    history.add_fresh()
    refresh(at(database, lake, history.first_day), users=False)


def by_query(database: Database, path: str) -> Ask:
    """Asks Postgres the app's own query, on a connection of the calling thread's own."""
    local = threading.local()

    def ask(prompt_id: str) -> None:
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(database.conninfo, autocommit=True, prepare_threshold=1)
        local.connection.execute(LIVE[path], {"prompt_id": prompt_id}).fetchall()

    return ask


def queries_a_second(ask: Ask, prompts: Sequence[str], seconds: float) -> float:
    """As many as come when each of the clients asks again at once."""
    begin = time.perf_counter()
    counts = [0] * CLIENTS

    def client(number: int) -> None:
        while time.perf_counter() < begin + seconds:
            ask(prompts[(number + counts[number] * CLIENTS) % len(prompts)])
            counts[number] += 1

    _in_threads(client)
    return sum(counts) / (time.perf_counter() - begin)


def _in_threads(client: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(CLIENTS)))


def measure_size(place: Place, events: int, seconds: float, parts: Mapping[str, Table]) -> None:
    """All parts at one size of the history."""
    name = f"answers_{events}"
    with new_database(place, name) as database, new_lake(place, f"lake_of_{name}") as lake:
        history = History(database, events, datetime.now(UTC), PROMPTS)
        history.make()
        with psycopg.connect(database.conninfo) as connection:
            connection.execute("CREATE INDEX ON prompt_usage (prompt_id)")
        say("first refresh")
        refresh(at(database, lake, history.first_day), users=False)
        history.settle_down()
        prompts = used_prompts(database)
        asked = {STATS: [STATS.format(id=each) for each in prompts], TOP: [TOP]}
        with serving(database, lake, place.folder) as port:

            def measure(part: str, what: str, path: str, paths: Sequence[str], pace: int, aim: float) -> None:
                found = answers_of(port, paths, seconds, pace)
                say(f"({part}) {path} {what}: p50 {found.p50_ms:.2f} ms, p99 {found.p99_ms:.2f} ms")
                parts[part].rows.append([size_name(events), path, what, *found, at_most(aim, found.p99_ms)])

            for path, paths in asked.items():
                answers_of(port, paths, WARM_SECONDS)
                measure("a", "quiet", path, paths, PACE, AIM_P99_MS)
                with refreshing(database, lake, events):
                    measure("a", "refreshing", path, paths, PACE, AIM_P99_MS)
                api = answers_of(port, paths, seconds / 3).per_second
                live_ask = by_query(database, path)
                live_ask(prompts[0])
                live = queries_a_second(live_ask, prompts, seconds / 3)
                say(f"(b) {path}: {api:,.0f} answers a second, live {live:,.1f}")
                parts["b"].rows.append(
                    [size_name(events), path, api, at_least(AIM_PER_SECOND, api), live, api / live]
                )
            for path, paths in LISTS.items():
                answers_of(port, paths, WARM_SECONDS)
                measure("c", "quiet", path, paths, LISTS_PACE, AIM_LISTS_P99_MS)
            fresh_refresh(database, lake, events)
            for path, paths in (asked | LISTS).items():
                took_ms = first_answers_ms(port, list(dict.fromkeys(paths)))
                say(f"(d) {path}: p50 {np.median(took_ms):.2f} ms")
                parts["d"].rows.append(
                    [size_name(events), path, took_ms.size, np.median(took_ms).item(), took_ms.max().item()]
                )


def used_prompts(database: Database) -> list[str]:
    """Prompts as people open them: those of events drawn at random, so that a popular one comes often."""
    with psycopg.connect(database.conninfo) as connection:
        rows = connection.execute(
            "SELECT prompt_id::text, usage_count FROM prompt_stats ORDER BY prompt_id"
        ).fetchall()
    ids, weights = (np.array(column) for column in zip(*rows, strict=True))
    drawn = np.random.default_rng(1).choice(ids, QUESTIONS, p=weights / weights.sum())
    return [str(prompt_id) for prompt_id in drawn]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run at a steady pace")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        parser.error("this asks with wrk, which is not installed: apt-get install wrk, or brew install wrk")
    others = os.sched_getaffinity(0) - {API_CORE}
    columns = ["events", "request", "beside", "p50 ms", "p99 ms", "longest ms", "reached a second", "aim"]
    paced = Table(
        f"(a) {PACE} requests per second, {CLIENTS} connections, {PROMPTS:,} prompts, one core",
        f"99 of 100 within {AIM_P99_MS:g} ms, however long the history",
        columns,
        notes=["By wrk; a connection waits between two requests, so a slow answer lowers the pace."],
    )
    fastest = Table(
        f"(b) answers a second, {CLIENTS} connections that ask again at once",
        f"{AIM_PER_SECOND:,}",
        ["events", "request", "API", "aim", "live query", "times"],
        notes=["The live query has all cores and no HTTP; prompts are drawn as they are used."],
    )
    lists = Table(
        f"(c) {LISTS_PACE} requests per second, {CLIENTS} connections, {PROMPTS:,} prompts, one core",
        f"99 of 100 within {AIM_LISTS_P99_MS:g} ms",
        columns,
    )
    first = Table(
        "(d) what is asked for first after a refresh, each request once, one connection",
        "none",
        ["events", "request", "requests", "median ms", "longest ms"],
    )
    parts = {"a": paced, "b": fastest, "c": lists, "d": first}
    with running_server() as place:
        described = machine(place.url)
        if others:
            os.sched_setaffinity(0, others)
        try:
            for events in sorted(arguments.events):
                measure_size(place, events, arguments.seconds, parts)
        finally:
            print("\n".join(f"{name}: {value}" for name, value in described.items()))
            for table in parts.values():
                print(f"\n{table.markdown()}")
            if arguments.json:
                tables = {part: table.json() for part, table in parts.items()}
                figures = {"machine": described, "parts": tables}
                arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
