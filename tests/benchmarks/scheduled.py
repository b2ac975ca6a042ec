"""(a) What a refresh of 10,000 new events costs as the history grows; (e) what a publish of much costs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from pipeline.days import ONE_DAY
from pipeline.maintenance.reconcile import reconcile
from pipeline.publish.publish import PublishReport
from pipeline.refresh import refresh
from tests.app import at
from tests.benchmarks.clock import clocked, medians, say, seconds_of
from tests.benchmarks.history import DELETED_DAYS_AGO, FRESH_EVENTS, History
from tests.benchmarks.server import Place, new_database, new_lake
from tests.benchmarks.tables import Cell, Table, at_most, size_name

AIM_SECONDS = 0.5
AIM_OF_GROWTH = 1.2
AIM_OF_DELETED = 2.0
AIMS_OF_PUBLISH = {"all changed": 12.0, "none changed": 1.5}
WHOLE = "whole refresh"
SCHEDULED = "scheduled, without users"
SCHEDULED_LATE = "scheduled, 1 % late"
HOURLY = "hourly, with users"
HOURLY_DELETED = "hourly, one row deleted"
LATE_SHARE = 0.01
"""Share of the fresh events of :data:`SCHEDULED_LATE` that belong to a day before."""
ELSE = "anything else"

Seconds = dict[str, float]


@dataclass(frozen=True)
class Scheduled:
    """Medians over the runs, each for itself; ``runs``: the seconds of each whole refresh."""

    steps: Seconds
    runs: list[float]


def one_refresh(history: History, lake: str, *, users: bool) -> tuple[PublishReport, Seconds]:
    """A refresh, and the seconds of all of it, of its steps, and of the steps of its publish."""
    reports: list[PublishReport] = []
    with clocked() as steps:
        whole = seconds_of(
            lambda: reports.append(refresh(at(history.database, lake, history.first_day), users=users))
        )
    publish = {f"publish: {name}": seconds for name, seconds in reports[0].seconds.items()}
    return reports[0], {WHOLE: whole, **steps, ELSE: whole - sum(steps.values()), **publish}


def measure_scheduled(history: History, lake: str, kind: str, runs: int) -> Scheduled:
    """Refreshes ``runs`` times, each time with fresh events. Once more before, to warm up.

    :raises RuntimeError: the stats are not those of all events.
    """
    measured: list[Seconds] = []
    for run in range(runs + 1):
        history.add_fresh(LATE_SHARE if kind == SCHEDULED_LATE else 0.0)
        if kind == HOURLY_DELETED:
            history.delete_one()
        report, seconds = one_refresh(history, lake, users=kind in (HOURLY, HOURLY_DELETED))
        named = f"{kind}, at {history.event_count:,} events"
        say(f"{named}, {f'run {run}' if run else 'warm-up'}: {seconds[WHOLE]:.2f} s")
        measured += [seconds] if run else []
    check_published(history, lake, report)
    return Scheduled(medians(measured), [seconds[WHOLE] for seconds in measured])


def check_published(history: History, lake: str, report: PublishReport) -> None:
    """Makes sure that what is measured is right: all events are in the stats.

    :raises RuntimeError: they are not; what a reconciliation finds is in the text.
    """
    with psycopg.connect(history.database.conninfo) as connection:
        (there,) = connection.execute("SELECT count(*) FROM prompt_usage").fetchone() or (0,)
    if report.usage_count != there or report.pending_days:
        found = reconcile(at(history.database, lake, history.first_day))
        raise RuntimeError(f"{report.usage_count} of {there} events are published; {report=}; {found=}")


def scheduled_table(measured: Mapping[str, Mapping[int, Scheduled]]) -> Table:
    """``measured``: by kind, and by the size of the history."""
    sizes = sorted({size for by_size in measured.values() for size in by_size})
    growth = f"{size_name(sizes[-1])} : {size_name(sizes[0])}"
    table = Table(
        f"(a) Refresh of {FRESH_EVENTS:,} new events, by size of the history, seconds",
        f"the refresh without users takes at most {AIM_SECONDS} s, and at {size_name(sizes[-1])} at most"
        f" {AIM_OF_GROWTH} times as long as at {size_name(sizes[0])}; after one row was deleted, with users,"
        f" at most {AIM_OF_DELETED:g} times as long as with none",
        ["", *map(size_name, sizes), f"aim at {size_name(sizes[-1])}", growth, "aim"],
        notes=[
            "Medians, each step for itself, after a warm-up. The events lie on the last day, in 100",
            "transactions; of the late ones 1 % lie one or two days before, so three days are rolled up. The",
            f"deleted row lay on a day {DELETED_DAYS_AGO} days before. All refreshes of a size work on the",
            "same history.",
        ],
    )
    for kind, by_size in measured.items():
        for step in dict.fromkeys(step for each in by_size.values() for step in each.steps):
            seconds: list[Cell] = [by_size[size].steps.get(step) for size in sizes]
            smallest, largest = (by_size[size].steps.get(step, 0.0) for size in (sizes[0], sizes[-1]))
            grown = largest / smallest if smallest and len(sizes) > 1 else None
            is_aim = step == WHOLE and kind == SCHEDULED
            name = f"{step}, {kind}" if step == WHOLE else f"- {step}"
            aims = [at_most(AIM_SECONDS, largest), grown and at_most(AIM_OF_GROWTH, grown)]
            shown = aims if is_aim else [None, None]
            table.rows.append([name, *seconds, shown[0], grown, shown[1]])
    if {HOURLY, HOURLY_DELETED} <= measured.keys():
        ratios = [
            measured[HOURLY_DELETED][size].steps[WHOLE] / measured[HOURLY][size].steps[WHOLE]
            for size in sizes
        ]
        aim = at_most(AIM_OF_DELETED, ratios[-1])
        table.rows.append([f"{HOURLY_DELETED} : {HOURLY}", *ratios, aim, None, None])
    return table


@dataclass(frozen=True)
class Publishes:
    """Publishes of one kind: medians of seconds, and the rows that the last one wrote."""

    steps: Seconds
    rows_written: dict[str, int]


def measure_publish(
    place: Place, prompt_count: int, until: dt.datetime, runs: int = 3
) -> dict[str, Publishes]:
    """Publishes with every prompt changed, and with none."""
    with new_database(place, "publish") as database, new_lake(place, "lake_of_publish") as lake:
        history = History(database, 0, until, prompt_count)
        say(f"making {prompt_count:,} prompts with an event on each of three days")
        history.add_prompts()
        today = history.days[-1]
        for age in (2, 1, 0):
            history.add_one_each(today - age * ONE_DAY)
        history.settle_down()
        refresh(at(database, lake, history.first_day), users=False)
        measured = {}
        for kind, is_changed in (("all changed", True), ("none changed", False)):
            steps = []
            for _ in range(runs):
                if is_changed:
                    history.add_one_each(today)
                report, seconds = one_refresh(history, lake, users=False)
                steps.append({name: seconds[name] for name in seconds if name.startswith("publish")})
                say(f"publish, {kind}: {seconds['publish']:.2f} s")
            measured[kind] = Publishes(medians(steps), report.rows_written)
    return measured


def publish_table(measured: Mapping[str, Publishes], prompt_count: int) -> Table:
    """``measured``: as :func:`measure_publish` gives it."""
    kinds = list(measured)
    table = Table(
        f"(e) Publish of {prompt_count:,} prompts without users, seconds and rows written",
        "; ".join(f"{kind} at most {seconds:g} s" for kind, seconds in AIMS_OF_PUBLISH.items())
        + "; where nothing changed, nothing is written",
        ["", *kinds, *(f"aim, {kind}" for kind in kinds)],
        notes=[
            "Each prompt has events on three days, and got one more since the last publish, or none. A row",
            "that is replaced counts twice: it goes, and another comes.",
        ],
    )
    for step in dict.fromkeys(step for each in measured.values() for step in each.steps):
        seconds = [measured[kind].steps.get(step) for kind in kinds]
        is_aim = step == "publish"
        aims = [
            at_most(AIMS_OF_PUBLISH[kind], measured[kind].steps[step]) if is_aim else None for kind in kinds
        ]
        table.rows.append([step, *seconds, *aims])
    for name in measured[kinds[0]].rows_written:
        written = [measured[kind].rows_written.get(name, 0) for kind in kinds]
        table.rows.append([f"rows of {name}", *written, None, at_most(0, written[-1])])
    return table
