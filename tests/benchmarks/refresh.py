"""Measures what a refresh costs as the history grows, against what it would cost otherwise.

``python -m tests.benchmarks.refresh --events 1000000 10000000 50000000 [--only a,b] [--json FILE]``

Prints a table a part: (a) the scheduled refresh of new events, (b) everything computed anew from the lake,
(c) Postgres' own means, (d) extraction, (e) a publish of many prompts, (f) memory of a backfill. Sizes are
those of the history; (c) and (d) are measured at the largest. What is under way is said on standard error.

It starts a server of its own, in a temporary folder that is gone at the end. 50 million events take about
30 GB there at a time; TMPDIR says where. All figures that are compared come from the same run, so run it on
a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.against_postgres import measure_against_postgres, measure_extraction
from tests.benchmarks.clock import say
from tests.benchmarks.history import History
from tests.benchmarks.recompute import Recompute, lake_without_partials, measure_recompute, recompute_table
from tests.benchmarks.scheduled import (
    HOURLY,
    HOURLY_DELETED,
    SCHEDULED,
    SCHEDULED_LATE,
    Publishes,
    Scheduled,
    measure_publish,
    measure_scheduled,
    publish_table,
    scheduled_table,
)
from tests.benchmarks.server import Place, new_database, new_lake, running_server
from tests.benchmarks.tables import Table, machine
from tests.benchmarks.whole_history import Passage, bring_all, passage_table

PARTS = "abcdef"


@dataclass
class Options:
    """What is wanted; as the command line's."""

    sizes: list[int]
    parts: set[str]
    prompt_count: int
    runs: int


@dataclass
class Measured:
    """What was measured so far, so that an end before the end loses nothing."""

    machine: dict[str, str] = field(default_factory=dict)
    scheduled: dict[str, dict[int, Scheduled]] = field(default_factory=dict)
    recomputes: dict[int, dict[str, Recompute]] = field(default_factory=dict)
    against_postgres: Table | None = None
    extraction: Table | None = None
    publishes: dict[str, Publishes] = field(default_factory=dict)
    passages: dict[int, tuple[Passage, Passage]] = field(default_factory=dict)

    def tables(self, options: Options) -> dict[str, Table]:
        """The tables of the parts that have figures."""
        made: dict[str, Table | None] = {
            "a": scheduled_table(self.scheduled) if self.scheduled else None,
            "b": recompute_table(self.recomputes) if self.recomputes else None,
            "c": self.against_postgres,
            "d": self.extraction,
            "e": publish_table(self.publishes, options.prompt_count) if self.publishes else None,
            "f": passage_table(self.passages) if self.passages else None,
        }
        return {part: table for part, table in made.items() if table}


def measure(place: Place, options: Options, measured: Measured) -> None:
    """All that is wanted, one size after the other."""
    until = dt.datetime.now(dt.UTC)
    for size in sorted(options.sizes):
        parts = options.parts & set("abcdf" if size == max(options.sizes) else "abf")
        if parts:
            measure_size(place, size, until, parts, options.runs, measured)
    if "e" in options.parts:
        measured.publishes = measure_publish(place, options.prompt_count, until)
    if dt.datetime.now(dt.UTC).date() != until.date():
        say("Midnight (UTC) passed meanwhile: the last day of the histories is no longer today")


def measure_size(
    place: Place, size: int, until: dt.datetime, parts: set[str], runs: int, measured: Measured
) -> None:
    """Those of the parts that depend on the history, at one size."""
    name = f"history_{size}"
    with new_database(place, name) as database, new_lake(place, f"lake_of_{name}") as lake:
        history = History(database, size, until)
        history.make()
        history.settle_down()
        if "d" in parts:
            measured.extraction = measure_extraction(history, place)
        if parts == {"d"}:
            return
        first = bring_all(history, lake, replace=False)
        history.settle_down()
        if parts & {"a", "c"}:
            scheduled = measure_scheduled(history, lake, SCHEDULED, runs)
        if "a" in parts:
            measured.scheduled.setdefault(SCHEDULED, {})[size] = scheduled
            for kind in (SCHEDULED_LATE, HOURLY, HOURLY_DELETED):
                measured.scheduled.setdefault(kind, {})[size] = measure_scheduled(history, lake, kind, runs)
        if parts & {"b", "c"}:
            with lake_without_partials(place, lake) as scratch:
                if "b" in parts:
                    measured.recomputes[size] = measure_recompute(database, scratch)
                if "c" in parts:
                    measured.against_postgres = measure_against_postgres(history, scratch, scheduled)
        if "f" in parts:
            with new_lake(place, f"lake_of_{name}_backfilled") as other:
                measured.passages[size] = (first, bring_all(history, other, replace=True))


def show(measured: Measured, options: Options, file: Path | None) -> None:
    """Prints what was measured, and writes it to the file if there is one."""
    tables = measured.tables(options)
    print("\n".join(f"{name}: {value}" for name, value in measured.machine.items()))
    for table in tables.values():
        print(f"\n{table.markdown()}")
    if file:
        parts = {part: table.json() for part, table in tables.items()}
        file.write_text(json.dumps({"machine": measured.machine, "parts": parts}, indent=2) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000], help="sizes of the history")
    parser.add_argument("--only", type=_parts, default=set(PARTS), help="parts, such as a,b; else all")
    parser.add_argument("--runs", type=int, default=5, help="refreshes a size in (a)")
    parser.add_argument("--prompts", type=int, default=100_000, help="prompts in (e)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    options = Options(arguments.events, arguments.only, arguments.prompts, arguments.runs)
    # An order to end is an end like Ctrl-C: what is temporary goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    measured = Measured()
    try:
        with running_server() as place:
            measured.machine = machine(place.url)
            measure(place, options, measured)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        show(measured, options, arguments.json)


def _parts(text: str) -> set[str]:
    parts = set(text.split(","))
    if not parts <= set(PARTS):
        raise argparse.ArgumentTypeError(f"parts are {', '.join(PARTS)}")
    return parts


if __name__ == "__main__":
    main()
