"""Measures what an appended event costs the app, against the app's own two statements.

``python -m tests.benchmarks.append [--seconds 10] [--only a,c,d,e] [--json FILE]``

Prints a table a part: (a) the app's way and ours, sent by pgbench, which is quicker than any app, so that the
server is what is measured; (c) the tracker in batches, from a call to the row, in one process; (d) the same
with a journal; (e) what a refresh that runs all the time costs the writers.

It starts a server of its own, as ``tests.benchmarks.refresh`` does. Alternatives are measured in turn.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from pipeline.database.connections import Database
from pipeline.database.embedded.server import binaries
from pipeline.database.queries import query
from pipeline.refresh import refresh
from pipeline.tracking import PromptTracker
from tests.app import at
from tests.benchmarks.clock import say
from tests.benchmarks.history import START_DATE
from tests.benchmarks.server import new_database, new_lake, running_server
from tests.benchmarks.tables import Table, at_least, at_most, machine

PROMPTS = 1_000
USERS = 10_000
CLIENTS = (1, 4, 16, 64)
RUNS = 3
SKEWED, ON_ONE = "skewed", "all on one"
AIMS = {(SKEWED, 16): 5.0, (SKEWED, 64): 10.0, (ON_ONE, 16): 20.0}
AIM_EVENTS_PER_SECOND = 80_000
AIM_P99_MICROSECONDS = 40
AIM_COST = 0.10
PACE = 1_000
"""Events a second of a busy app, a quarter of what this machine can take."""

BUFFERED_EVENTS = 300_000
WAITING_EVENTS = 50_000
"""Half of what the buffer holds: from there on the benchmark lets the writer catch up."""

JOURNALED_EVENTS = 20_000

DRAWN = {
    SKEWED: "\\set prompt random_zipfian(1, 1000, 1.1)\n\\set person random(1, 10000)\n",
    ON_ONE: "\\set prompt 1\n\\set person random(1, 10000)\n",
}
VALUES = {
    "prompt_id": "md5('prompt ' || :prompt)::uuid",
    "user_id": "md5('user ' || :person)::uuid",
    "character_id": "md5('character ' || :person)::uuid",
    "post_id": "gen_random_uuid()",
    "job_id": "gen_random_uuid()",
    "scene": "'beach'",
    "environment": "'daylight'",
    "outfit": "'casual'",
    "success": "true",
    "generation_time_ms": "5000",
    "error_message": "NULL",
}
"""What an event holds; both ways draw the same."""

# As an app has it that counts online: Drizzle's table, with foreign keys and seven indexes in all.
APP_SCHEMA = """
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid());
CREATE TABLE prompts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL, usage_count integer DEFAULT 0,
    success_count integer DEFAULT 0, updated_at timestamp DEFAULT now() NOT NULL
);
CREATE INDEX ON prompts (usage_count);
CREATE TABLE prompt_usage (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    prompt_id uuid NOT NULL REFERENCES prompts ON DELETE CASCADE,
    user_id uuid REFERENCES users ON DELETE CASCADE,
    character_id uuid, post_id uuid, job_id uuid, scene text, environment text, outfit text,
    success boolean DEFAULT false, generation_time_ms integer, error_message text,
    created_at timestamp DEFAULT now()
);
CREATE INDEX ON prompt_usage (prompt_id);
CREATE INDEX ON prompt_usage (user_id);
CREATE INDEX ON prompt_usage (character_id);
CREATE INDEX ON prompt_usage (scene);
CREATE INDEX ON prompt_usage (success);
CREATE INDEX ON prompt_usage (created_at);
INSERT INTO users SELECT md5('user ' || n)::uuid FROM generate_series(1, 10000) AS n;
INSERT INTO prompts (id, name)
SELECT md5('prompt ' || n)::uuid, 'Prompt ' || n FROM generate_series(1, 1000) AS n
"""
APP_WAY = """
INSERT INTO prompt_usage ({columns}) VALUES ({values});
UPDATE prompts SET usage_count = usage_count + 1, success_count = success_count + 1
WHERE id = {prompt_id};
"""
OUR_PROMPTS = """
INSERT INTO prompts (id, slug, name, template)
SELECT md5('prompt ' || n)::uuid, 'prompt-' || n, 'Prompt ' || n, '' FROM generate_series(1, 1000) AS n
"""


def app_way() -> str:
    """The two statements of an app that counts online."""
    return APP_WAY.format(
        columns=", ".join(VALUES), values=", ".join(VALUES.values()), prompt_id=VALUES["prompt_id"]
    )


def our_way() -> str:
    """The tracker's own statement. Ids sort by time, as the tracker's do."""
    values = {**VALUES, "event_id": "uuidv7()", "created_at": "now()"}
    statement = re.sub(r"--.*", "", query("tracking/insert_prompt_usage"))
    return re.sub(r"%\((\w+)\)s", lambda found: values[found[1]], statement).strip() + ";\n"


def transactions_a_second(
    database: Database, script: str, clients: int, seconds: int, pace: int | None = None
) -> tuple[float, float]:
    """What pgbench reached with prepared statements, and the milliseconds that one took.

    ``pace``: at most so many a second; what a transaction waits for its turn counts as its time.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        threads = min(clients, 2)
        done = subprocess.run(
            [
                *(str(binaries() / "pgbench"), "-n", "-M", "prepared", "-f", file.name),
                *("-c", str(clients), "-j", str(threads), "-T", str(seconds)),
                *(("-R", str(pace)) if pace else ()),
                database.conninfo,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    latency = re.search(r"latency average = ([\d.]+) ms", done.stdout)
    assert rate, done.stdout
    assert latency, done.stdout
    return float(rate[1]), float(latency[1])


def measure_inserts(app: Database, ours: Database, seconds: int) -> Table:
    """(a) and (b)."""
    table = Table(
        "(a, b) Events a second: the app's INSERT and UPDATE, against one INSERT",
        "skewed, 5 times with 16 clients and 10 with 64; all on one prompt, 20 times with 16",
        ["prompts", "clients", "app's way", "ours", "ours : app's", "aim"],
        notes=[f"pgbench, {seconds} s a run, medians of {RUNS}, in turn, prepared statements."],
    )
    for prompts, draw in DRAWN.items():
        for clients in CLIENTS:
            reached: dict[str, list[float]] = {"app": [], "ours": []}
            for _ in range(RUNS):
                for name, database, script in (("app", app, app_way()), ("ours", ours, our_way())):
                    with psycopg.connect(database.conninfo, autocommit=True) as connection:
                        connection.execute("VACUUM prompts")
                        connection.execute("CHECKPOINT")
                    rate, _ = transactions_a_second(database, draw + script, clients, seconds)
                    reached[name].append(rate)
                    say(f"{prompts}, {clients} clients, {name}: {rate:,.0f} events/s")
            theirs, own = median(reached["app"]), median(reached["ours"])
            aim = AIMS.get((prompts, clients))
            table.rows.append(
                [prompts, clients, theirs, own, own / theirs, aim and at_least(aim, own / theirs)]
            )
    return table


def _events(number: int) -> list[dict[str, Any]]:
    """What an app hands over: ids as UUIDs, each event its own."""
    prompts = [uuid.uuid5(uuid.NAMESPACE_OID, f"prompt {n}") for n in range(PROMPTS)]
    users = [uuid.uuid5(uuid.NAMESPACE_OID, f"user {n}") for n in range(USERS)]
    return [
        {
            "prompt_id": prompts[n * n % PROMPTS],
            "user_id": users[n % USERS],
            "character_id": users[n * 7 % USERS],
            "post_id": uuid.uuid4(),
            "job_id": uuid.uuid4(),
            "scene": "beach",
            "environment": "daylight",
            "outfit": "casual",
            "success": True,
            "generation_time_ms": n % 20_000,
        }
        for n in range(number)
    ]


def _tracked(tracker: PromptTracker, events: list[dict[str, Any]]) -> list[int]:
    """The nanoseconds of each call."""
    track, clock = tracker.track_post_creation, time.perf_counter_ns
    taken = []
    for event in events:
        start = clock()
        track(**event)
        taken.append(clock() - start)
    return taken


def _percentile_microseconds(nanoseconds: list[int], share: float) -> float:
    return sorted(nanoseconds)[int(len(nanoseconds) * share)] / 1000


def measure_buffered(ours: Database) -> Table:
    """(c)."""
    table = Table(
        f"(c) {BUFFERED_EVENTS:,} events from one process, in batches, without a journal",
        f"{AIM_EVENTS_PER_SECOND:,} events per second to the last row; at 5,000 per second, p99 of a call"
        f" below {AIM_P99_MICROSECONDS} µs",
        ["pace", "events per second", "aim", "median µs", "p99 µs", "p99.9 µs", "aim "],
        notes=[
            "From the first call to the last row. The second row is an app that pauses: 5,000 per second."
        ],
    )
    for name, pace in (("as fast as it goes", None), ("5,000 per second", 5_000)):
        events = _events(BUFFERED_EVENTS if pace is None else 50_000)
        with PromptTracker(ours.conninfo) as tracker:
            tracker.track_post_creation(**events[0])
            tracker.flush()
            start = time.perf_counter()
            taken: list[int] = []
            for first in range(0, len(events), 50):
                if pace is not None:
                    time.sleep(max(0.0, start + first / pace - time.perf_counter()))
                while tracker.stats().waiting > WAITING_EVENTS:
                    time.sleep(0.001)
                taken += _tracked(tracker, events[first : first + 50])
            if not tracker.flush(300):
                raise RuntimeError(f"not all was written: {tracker.stats()}")
            rate = len(events) / (time.perf_counter() - start)
            stats = tracker.stats()
            if stats.written != len(events) + 1:
                raise RuntimeError(f"not all was written: {stats}")
        p99 = _percentile_microseconds(taken, 0.99)
        say(f"buffered, {name}: {rate:,.0f} events/s, p99 {p99:.1f} µs")
        table.rows.append(
            [
                *(name, rate, at_least(AIM_EVENTS_PER_SECOND, rate) if pace is None else None),
                *(_percentile_microseconds(taken, share) for share in (0.5, 0.99, 0.999)),
                None if pace is None else at_most(AIM_P99_MICROSECONDS, p99),
            ]
        )
    return table


def measure_journaled(ours: Database, folder: Path) -> Table:
    """(d)."""
    table = Table(
        f"(d) {JOURNALED_EVENTS:,} events with a journal, each on disk before its call returns",
        "none; the disk decides",
        ["threads", "events per second", "median ms", "p99 ms"],
        notes=["One thread: a commit an event. More: a commit for all that wait."],
    )
    for threads in (1, 4, 16, 64):
        events = _events(JOURNALED_EVENTS if threads > 1 else JOURNALED_EVENTS // 4)
        parts = [events[n::threads] for n in range(threads)]
        with PromptTracker(ours.conninfo, journal_dir=folder / str(threads)) as tracker:
            start = time.perf_counter()
            with ThreadPoolExecutor(threads) as pool:
                taken = [
                    each for part in pool.map(lambda part: _tracked(tracker, part), parts) for each in part
                ]
            rate = len(events) / (time.perf_counter() - start)
            if not tracker.flush(120):
                raise RuntimeError(f"not all was written: {tracker.stats()}")
        say(f"journal, {threads} threads: {rate:,.0f} events/s")
        table.rows.append(
            [threads, rate, *(_percentile_microseconds(taken, share) / 1000 for share in (0.5, 0.99))]
        )
    return table


def measure_beside_a_refresh(ours: Database, lake: str, seconds: int) -> Table:
    """(e)."""
    refresh(at(ours, lake, START_DATE))
    table = Table(
        "(e) 16 clients, alone and while a scheduled refresh runs",
        f"at most {AIM_COST:.0%} fewer events per second",
        ["", "events per second", "ms an event", "fewer", "aim"],
        notes=[
            f"Medians of {RUNS} runs of {seconds} s, each with one refresh in it; all share the machine.",
            "At a pace, what an event waits for its turn is part of its time.",
        ],
    )
    for name, pace in (("as fast as it goes", None), (f"{PACE:,} a second", PACE)):
        reached: dict[str, list[tuple[float, float]]] = {"alone": [], "beside a refresh": []}
        for _ in range(RUNS):
            for beside, measured in reached.items():
                thread = threading.Thread(
                    target=refresh, args=(ours, lake, START_DATE), kwargs={"users": False}
                )
                if measured is not reached["alone"]:
                    thread.start()
                measured.append(transactions_a_second(ours, DRAWN[SKEWED] + our_way(), 16, seconds, pace))
                if measured is not reached["alone"]:
                    thread.join()
                say(f"{name}, {beside}: {measured[-1][0]:,.0f} events/s, {measured[-1][1]:.2f} ms")
        alone = median(rate for rate, _ in reached["alone"])
        for beside, measured in reached.items():
            rate = median(each for each, _ in measured)
            fewer = None if beside == "alone" else 1 - rate / alone
            table.rows.append(
                [
                    *(f"{name}, {beside}", rate, median(each for _, each in measured), fewer),
                    None if fewer is None else at_most(AIM_COST, fewer),
                ]
            )
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10, help="of each run of pgbench")
    parser.add_argument("--only", default="a,c,d,e", help="parts, such as a,c")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    made: dict[str, Table] = {}
    described: Mapping[str, str] = {}
    try:
        with running_server() as place:
            described = machine(place.url)
            with (
                new_database(place, "app", is_migrated=False) as app,
                new_database(place, "ours") as ours,
                new_lake(place, "lake") as lake,
            ):
                for database, statements in ((app, APP_SCHEMA), (ours, OUR_PROMPTS)):
                    with psycopg.connect(database.conninfo) as connection:
                        connection.execute(statements)
                parts: dict[str, Callable[[], Table]] = {
                    "a": lambda: measure_inserts(app, ours, arguments.seconds),
                    "c": lambda: measure_buffered(ours),
                    "d": lambda: measure_journaled(ours, place.folder),
                    "e": lambda: measure_beside_a_refresh(ours, lake, arguments.seconds),
                }
                for part in arguments.only.split(","):
                    made[part] = parts[part]()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        print("\n".join(f"{name}: {value}" for name, value in described.items()))
        for table in made.values():
            print(f"\n{table.markdown()}")
        if arguments.json:
            tables = {part: table.json() for part, table in made.items()}
            arguments.json.write_text(json.dumps({"machine": described, "parts": tables}, indent=2) + "\n")


if __name__ == "__main__":
    main()
