"""What the command line costs: whole processes, from their start to their end.

``python -m tests.benchmarks.commands [--events 200000 3000000] [--runs 5]``

``prompt-stats refresh`` where nothing is new since the last one, by the size of the history, and the two
commands that need neither Postgres nor the lake. Medians; memory is the most that was resident.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from tests.benchmarks.clock import say
from tests.benchmarks.history import History
from tests.benchmarks.server import Place, new_database, new_lake, running_server
from tests.benchmarks.tables import Table, at_most, machine, size_name
from tests.benchmarks.whole_history import MIB, peak_bytes

AIM_SECONDS, AIM_MIB = 2.5, 250
AIM_SECONDS_ALONE = 0.3
ALONE = ("--version", "--help")
LOOK_EVERY_SECONDS = 0.01


def run(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """The seconds of one process, and its MiB.

    :raises RuntimeError: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("prompt-stats")), *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    memory = 0
    while process.poll() is None:
        # What the kernel says at its end begins with what its parent had. An ended one says nothing.
        with suppress(KeyError):
            memory = peak_bytes(process.pid)
        time.sleep(LOOK_EVERY_SECONDS)
    if process.returncode:
        raise RuntimeError(f"prompt-stats {' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - began, memory / MIB


def measure(arguments: list[str], environment: dict[str, str], runs: int) -> tuple[float, float]:
    """Medians of several runs, after one that warms up."""
    run(arguments, environment)
    seconds, memory = zip(*(run(arguments, environment) for _ in range(runs)), strict=True)
    say(f"prompt-stats {' '.join(arguments)}: {median(seconds):.2f} s, {median(memory):.0f} MiB")
    return median(seconds), median(memory)


def with_history(place: Place, size: int, runs: int, home: str) -> tuple[float, float]:
    """``prompt-stats refresh`` with nothing new, over a history that it has brought into the lake itself."""
    with new_database(place, f"history_{size}") as database, new_lake(place, f"lake_{size}") as lake:
        history = History(database, size, dt.datetime.now(dt.UTC))
        history.make()
        history.settle_down()
        given = {
            "DATABASE_URL": database.conninfo,
            "PROMPT_STATS_LAKE_URI": lake,
            "PROMPT_STATS_HOME": f"{home}/{size}",
            "PROMPT_STATS_START_DATE": history.first_day.isoformat(),
        }
        return measure(["refresh"], {**os.environ, **given}, runs)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[200_000, 3_000_000])
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    table = Table(
        "Whole processes of the command line",
        f"a refresh with nothing new at most {AIM_SECONDS:g} s and {AIM_MIB} MiB at any size,"
        f" {' and '.join(ALONE)} at most {AIM_SECONDS_ALONE:g} s",
        ["prompt-stats", "history", "seconds", "aim", "MiB", "aim"],
    )
    with running_server() as place, tempfile.TemporaryDirectory() as home:
        print("\n".join(f"{name}: {value}" for name, value in machine(place.url).items()))
        for size in arguments.events:
            seconds, memory = with_history(place, size, arguments.runs, home)
            aims = at_most(AIM_SECONDS, seconds), at_most(AIM_MIB, memory)
            table.rows.append(["refresh", size_name(size), seconds, aims[0], memory, aims[1]])
    for each in ALONE:
        seconds, memory = measure([each], dict(os.environ), arguments.runs)
        table.rows.append([each, None, seconds, at_most(AIM_SECONDS_ALONE, seconds), memory, None])
    print(f"\n{table.markdown()}")


if __name__ == "__main__":
    main()
