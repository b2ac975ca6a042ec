"""Brings a whole history into a lake in a process of its own, and watches how much memory that takes.

``python -m tests.benchmarks.whole_history`` is that process: a request on standard input, an answer on
standard output, both JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline import refresh as refresh_module
from pipeline.database.connections import Database
from tests.app import at
from tests.benchmarks.clock import clocked, say
from tests.benchmarks.history import History
from tests.benchmarks.tables import Cell, Table, at_least, at_most, size_name
from tests.command import REPOSITORY

AIM_BYTES = 2**30
AIM_OF_GROWTH = 1.2
AIM_EVENTS_PER_SECOND = 160_000
LOOK_EVERY_SECONDS = 0.1
SAY_EVERY_SECONDS = 30
MIB = 2**20


@dataclass(frozen=True)
class Passage:
    """How a whole history came into a lake.

    ``publish``: the steps within the publish. ``peak_bytes``: the most resident memory that the process
    and its children had at a time; ``peaks_bytes``: that of the process up to the end of each step.
    """

    seconds: float
    steps: dict[str, float]
    publish: dict[str, float]
    peak_bytes: int
    peaks_bytes: dict[str, int]


def bring_all(history: History, lake: str, *, replace: bool) -> Passage:
    """A refresh, or with ``replace`` a backfill of all days; with the stats of users."""
    name = f"{'backfill' if replace else 'first refresh'} of {history.event_count:,} events"
    request = {
        # Holds a password, so not on the command line.
        "conninfo": history.database.conninfo,
        "lake": lake,
        "first_day": history.first_day.isoformat(),
        "days": [day.isoformat() for day in history.all_days] if replace else None,
        "replace": replace,
    }
    say(name)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.whole_history"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    try:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        seen_bytes = _watch(process, name)
        said = process.stdout.read()
    finally:
        process.kill()
        code = process.wait()
    if code != 0:
        raise RuntimeError(f"the {name} ended with {code}; what it said is above")
    answer: dict[str, Any] = json.loads(said)
    passage = Passage(**{**answer, "peak_bytes": max(seen_bytes, answer["peak_bytes"])})
    say(f"{name}: {passage.seconds:.1f} s, {passage.peak_bytes / MIB:,.0f} MiB at most")
    return passage


def _watch(process: subprocess.Popen[str], name: str) -> int:
    """The largest sum of the resident memory of a process and all below it, until it ends."""
    seen_bytes, say_at = 0, time.monotonic() + SAY_EVERY_SECONDS
    root = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        with suppress(psutil.NoSuchProcess):
            for each in (root, *root.children(recursive=True)):
                total += each.memory_info().rss
        seen_bytes = max(seen_bytes, total)
        if time.monotonic() > say_at:
            say(f"{name}: {total / MIB:,.0f} MiB now, {seen_bytes / MIB:,.0f} MiB at most")
            say_at += SAY_EVERY_SECONDS
        time.sleep(LOOK_EVERY_SECONDS)
    return seen_bytes


def passage_table(measured: Mapping[int, tuple[Passage, Passage]]) -> Table:
    """``measured``: the first refresh and the backfill, by the size of the history."""
    smallest = measured[min(measured)][1].peak_bytes
    table = Table(
        "(f) A whole history brought into an empty lake, with the stats of users",
        f"a first refresh takes {AIM_EVENTS_PER_SECOND:,} events per second; it and a backfill at most"
        f" {AIM_BYTES / MIB:,.0f} MiB, and the same at every size",
        ["", "seconds", "events per second", "aim", "peak MiB", "aim", "to the smallest", "aim"],
        notes=[
            "Peak: resident memory of a process that does nothing else, interpreter and libraries included,",
            "Postgres not; that of a step is the peak up to its end. First refresh: nothing was published",
            "before. Backfill: every day read again, and all that is published is from another lake.",
        ],
    )
    for size, passages in sorted(measured.items()):
        for name, passage in zip(("first refresh", "backfill"), passages, strict=True):
            growth = passage.peak_bytes / smallest
            rate, is_first = size / passage.seconds, name == "first refresh"
            row: list[Cell] = [f"{size_name(size)}, {name}", passage.seconds, rate]
            row += [at_least(AIM_EVENTS_PER_SECOND, rate) if is_first else None]
            row += [passage.peak_bytes / MIB, at_most(AIM_BYTES / MIB, passage.peak_bytes / MIB)]
            is_aim = not is_first and size > min(measured)
            table.rows.append([*row, growth, at_most(AIM_OF_GROWTH, growth) if is_aim else None])
            for step, seconds in passage.steps.items():
                peak = passage.peaks_bytes[step] / MIB
                table.rows.append([f"- {step}", seconds, None, None, peak, None, None, None])
            for step, seconds in passage.publish.items():
                table.rows.append([f"- publish: {step}", seconds, None, None, None, None, None, None])
    return table


def peak_bytes(process: int | str = "self") -> int:
    """The most resident memory that a process ever had, by the kernel's own count.

    Where Linux says it: elsewhere ``ru_maxrss`` has to do, which begins with the parent's.
    """
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def main() -> None:
    """Does what the request says."""
    request = json.load(sys.stdin)
    database = Database.from_url(request["conninfo"])
    days = [dt.date.fromisoformat(day) for day in request["days"]] if request["days"] else None
    start = time.perf_counter()
    peaks: dict[str, int] = {}
    with clocked(lambda step: peaks.update({step: peak_bytes()})) as steps:
        report = refresh_module.refresh(
            at(database, request["lake"], dt.date.fromisoformat(request["first_day"])),
            days,
            replace=request["replace"],
        )
    answer = {
        "seconds": time.perf_counter() - start,
        "steps": steps,
        "publish": report.seconds,
        "peak_bytes": peak_bytes(),
        "peaks_bytes": peaks,
    }
    database.close()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
