"""The whole installation under traffic and faults, with the schedule as it is.

``python -m tests.benchmarks.soak --minutes 30``

A server, Dagster as ``deploy/`` has it (code server, daemon and UI apart), and an app that tracks events,
some of them late, with now and then a delete and an update. Every minute or so something is done to them:
the database is restarted or killed, the worker of a run, the daemon or the code server is killed, a
transaction is left open. What ended is started again, as an init system would. At the end the app stops,
nothing is harmed any more, and within two ticks of the schedule every raw event has to be counted, and no
run may be left over. Then a refresh by hand brings the stats up to date that are made once an hour, and all
of them have to equal the recount.

The memory of each program is measured all the while; what it prints at the end compares the first quarter
of the time with the last.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import dagster as dg
import psutil
import psycopg
import yaml
from rich.console import Console
from rich.table import Table

from pipeline.adoption import schema
from pipeline.database.connections import Database
from pipeline.database.embedded import client
from pipeline.database.embedded.server import Server
from pipeline.orchestration import instance
from pipeline.orchestration.jobs import UNFINISHED
from pipeline.samples import seeding
from pipeline.settings import settings
from tests.benchmarks.clock import say
from tests.command import REPOSITORY, environment, prompt_stats
from tests.oracle import assert_equals_recount

EVENTS_PER_SECOND = 50
TICK_SECONDS = 300
MEASURE_EVERY_SECONDS = 10
CALM_SECONDS = 2 * TICK_SECONDS + 120
"""Until when, without further harm, everything has to be in order."""

APP = """
import datetime as dt, random, sys, time, uuid
from pipeline.tracking import PromptTracker

url, journal, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
chance = random.Random(1)
scenes = ["studio", "cafe", "beach", None]
with PromptTracker(url, journal_dir=journal) as tracker:
    while True:
        late = dt.timedelta(hours=chance.choice([0] * 20 + [1, 5, 30]))
        tracker.track_post_creation(
            prompt_id=uuid.UUID(int=chance.randrange(1, 25)), user_id=uuid.UUID(int=chance.randrange(1, 500)),
            scene=chance.choice(scenes), success=chance.random() < 0.9,
            generation_time_ms=chance.randrange(500, 9000), created_at=dt.datetime.now(dt.UTC) - late,
        )
        time.sleep(1 / rate)
"""


class Installation:
    """What runs, by name, and how to start it again."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.url = url
        code, ui = (str(port) for port in _free_ports(2))
        address = ["--host", "127.0.0.1", "--port", code]
        names = ["--module-name", "pipeline.definitions", "--location-name", "pipeline"]
        workspace = yaml.safe_load((REPOSITORY / "deploy/workspace.yaml").read_text())
        workspace["load_from"][0]["grpc_server"] = {"port": int(code), "location_name": "pipeline"}
        file = home / "workspace.yaml"
        file.write_text(yaml.safe_dump(workspace))
        folder = Path(sys.executable).parent
        self.commands = {
            "code server": [str(folder / "dagster"), "api", "grpc", *names, *address],
            "daemon": [str(folder / "dagster-daemon"), "run", "-w", str(file)],
            "UI": [str(folder / "prompt-stats"), "ui", "--port", ui, "--workspace", str(file)],
            "app": [sys.executable, "-c", APP, url, str(home / "journal"), str(EVENTS_PER_SECOND)],
        }
        self.environment = {
            **environment(home, DATABASE_URL=url),
            "DAGSTER_HOME": str(home / "dagster"),
            **instance.EVENT_SETTINGS,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.restarts: Counter[str] = Counter()

    def keep_up(self) -> None:
        """Starts what does not run, as an init system does."""
        for name, command in self.commands.items():
            if name in self.processes and self.processes[name].poll() is None:
                continue
            self.restarts[name] += name in self.processes
            with (self.home / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    command, env=self.environment, cwd=self.home, stdout=log, stderr=log
                )

    def workers(self) -> list[psutil.Process]:
        """The processes of runs: the code server's children."""
        with suppress(psutil.NoSuchProcess):
            started = psutil.Process(self.processes["code server"].pid).children(recursive=True)
            return [each for each in started if "spawn_main" in " ".join(_command(each))]
        return []

    def bytes_used(self) -> dict[str, int]:
        """The resident memory of each program, without the runs'."""
        return {name: _resident(process) for name, process in self.processes.items()}

    def end(self) -> None:
        """Stops everything, first kindly."""
        for process in self.processes.values():
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(process.pid).children(recursive=True)
                process.terminate()
                _, alive = psutil.wait_procs([psutil.Process(process.pid), *children], timeout=20)
                for each in alive:
                    each.kill()


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _resident(process: subprocess.Popen[bytes]) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(process.pid).memory_info().rss)
    return 0


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        return [
            held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)
        ]


class Harm:
    """The things that are done, each by a method that says whether it could be done."""

    def __init__(self, installed: Installation, chance: random.Random) -> None:
        self.installed = installed
        self.chance = chance
        self.done: Counter[str] = Counter()
        self.kinds: dict[str, Callable[[], bool]] = {
            "database restarted": lambda: self._end_database(signal.SIGINT),
            "database killed": lambda: self._end_database(signal.SIGQUIT),
            "run worker killed": self._kill_worker,
            "daemon killed": lambda: self._kill("daemon"),
            "code server killed": lambda: self._kill("code server"),
            "app killed": lambda: self._kill("app"),
            "transaction left open": self._leave_a_transaction_open,
            "rows deleted and changed": self._change_rows,
        }

    def something(self) -> None:
        """Does one of them, the least done first."""
        kinds = sorted(self.kinds, key=lambda kind: (self.done[kind], self.chance.random()))
        kind = next((kind for kind in kinds if self.kinds[kind]()), None)
        if kind:
            self.done[kind] += 1
            say(kind)

    def _end_database(self, how: signal.Signals) -> bool:
        data = Server(self.installed.home / "postgres").data
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), how)
        client.start(self.installed.home)
        return True

    def _kill_worker(self) -> bool:
        found = self.installed.workers()
        for each in found[:1]:
            each.kill()
        return bool(found)

    def _kill(self, program: str) -> bool:
        process = self.installed.processes[program]
        with suppress(psutil.NoSuchProcess):
            # An init system ends with a service what the service started.
            known = psutil.Process(process.pid)
            for each in (known, *known.children(recursive=True)):
                each.kill()
        process.wait()
        return True

    def _leave_a_transaction_open(self) -> bool:
        def leave() -> None:
            with suppress(psycopg.OperationalError), psycopg.connect(self.installed.url) as connection:
                connection.execute(
                    "INSERT INTO prompt_usage (prompt_id, success) SELECT id, true FROM prompts LIMIT 1"
                )
                time.sleep(self.chance.uniform(60, 200))

        threading.Thread(target=leave, daemon=True).start()
        return True

    def _change_rows(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.installed.url) as connection:
            for statement in (
                "DELETE FROM prompt_usage WHERE id IN (SELECT id FROM prompt_usage LIMIT 20)",
                "UPDATE prompt_usage SET success = true WHERE id IN (SELECT id FROM prompt_usage LIMIT 9)",
            ):
                connection.execute(statement)
            return True
        return False


@contextmanager
def installation(home: Path) -> Iterator[tuple[Installation, Database]]:
    """Everything, running, for the block."""
    url = client.start(home)
    database = Database.from_url(url)
    schema.migrate(database)
    seeding.seed_prompts(database)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO prompts (id, name, template)"
            " SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Prompt ' || n, ''"
            " FROM generate_series(1, 24) AS n"
        )
    instance.prepare_environment(home / "dagster")
    installed = Installation(home, url)
    installed.keep_up()
    try:
        yield installed, database
    finally:
        installed.end()
        database.close()


def run(home: Path, minutes: float, seed: int) -> bool:
    """Prints what happened; whether everything was in order at the end."""
    chance = random.Random(seed)  # noqa: S311  # the same each time, no secret
    used: dict[str, list[int]] = defaultdict(list)
    with installation(home) as (installed, database):
        harm = Harm(installed, chance)
        end = time.monotonic() + minutes * 60
        next_harm = time.monotonic() + 90
        while time.monotonic() < end:
            time.sleep(MEASURE_EVERY_SECONDS)
            installed.keep_up()
            for name, size in installed.bytes_used().items():
                used[name].append(size)
            if time.monotonic() >= next_harm:
                harm.something()
                next_harm = time.monotonic() + chance.uniform(30, 90)
        say("the app stops; no more harm")
        del installed.commands["app"]
        installed.processes.pop("app").terminate()
        fault = _calm(installed, database)
        _print(used, harm, installed, _runs(), fault)
    return fault is None


def _calm(installed: Installation, database: Database) -> str | None:
    """What is not in order once two ticks have passed; None if everything is, as soon as it is."""
    deadline = time.monotonic() + CALM_SECONDS
    fault: str | None = "not looked yet"
    while fault and time.monotonic() < deadline:
        time.sleep(MEASURE_EVERY_SECONDS)
        installed.keep_up()
        fault = _fault(database)
    return fault or _difference(installed, database)


def _fault(database: Database) -> str | None:
    with dg.DagsterInstance.get() as dagster:
        left = dagster.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    if left:
        return f"{len(left)} runs have not ended, of {', '.join(sorted({run.job_name for run in left}))}"
    with psycopg.connect(database.conninfo) as connection:
        raw, counted = connection.execute(
            "SELECT (SELECT count(*) FROM prompt_usage),"
            " (SELECT usage_count FROM stats_refresh ORDER BY id DESC LIMIT 1)"
        ).fetchall()[0]
    return None if raw == counted else f"{counted} of {raw} events are counted"


def _difference(installed: Installation, database: Database) -> str | None:
    refreshed = prompt_stats(installed.home, "refresh", DATABASE_URL=installed.url)
    if refreshed.returncode:
        return refreshed.stderr
    try:
        assert_equals_recount(database, settings().start_date)
    except AssertionError as error:
        return str(error).splitlines()[0]
    return None


def _runs() -> Counter[str]:
    with dg.DagsterInstance.get() as dagster:
        return Counter(f"{run.job_name} {run.status.value}" for run in dagster.get_runs())


def _print(
    used: dict[str, list[int]],
    harm: Harm,
    installed: Installation,
    runs: Counter[str],
    fault: str | None,
) -> None:
    console = Console()
    for title, counts in (("Harm", harm.done), ("Started again", installed.restarts), ("Runs", runs)):
        table = Table(title, "times")
        for name, count in sorted(counts.items()):
            table.add_row(name, str(count))
        console.print(table)
    memory = Table("Memory, MiB (median)", "first quarter", "last quarter")
    for name, sizes in used.items():
        quarter = max(len(sizes) // 4, 1)
        ends = (sizes[:quarter], sizes[-quarter:])
        memory.add_row(name, *(f"{statistics.median(part) / 2**20:.0f}" for part in ends))
    console.print(memory)
    console.print(f"At the end: {fault or 'the stats equal the recount, and no run is left over'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folder, with the logs, where it is")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="prompt-stats-soak-"))
    home.chmod(0o711)
    os.environ |= {"PROMPT_STATS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    try:
        is_well = run(home, given.minutes, given.seed)
    finally:
        if given.keep:
            say(f"left in {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
    raise SystemExit(not is_well)


if __name__ == "__main__":
    main()
