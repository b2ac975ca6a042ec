"""How many planted faults the alerts find, how soon, and how often they are wrong in months without a fault.

``python -m tests.benchmarks.alerts --seeds 11 12 --days 45 --a-day 3000``

Made-up traffic of ``pipeline.samples.traffic``, made harder: what a prompt is used, how often it succeeds
and how long it takes differs from day to day by more than chance, the service as a whole has better and
worse hours, some prompts come up and others fade. One history stays as it is: whatever is raised in it is a
false alarm. In the other a fault of a day is planted every second day. Both are looked at every quarter of
an hour, as the job does.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from multiprocessing import get_context
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Console
from rich.table import Table

from pipeline.alerts.comparison import DAY_HOURS, HOURS
from pipeline.alerts.evaluation import findings
from pipeline.alerts.rules import judge
from pipeline.alerts.states import Alert, Rule, Series, State, advance, news, over_hours, told
from pipeline.samples.traffic import Traffic
from pipeline.stats.percentiles import GAMMA

UNTIL = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
PROMPTS = tuple(UUID(int=number) for number in range(1, 41))
EVERY = dt.timedelta(minutes=int(os.environ.get("ALERTS_EVERY", "15")))
BEHIND = dt.timedelta(minutes=4)
"""What a refresh every five minutes leaves between its as_of and an evaluation, about."""

THINNING = 3.2
"""Of three events about one is kept, as the ups and downs of the use have it."""

Floats = npt.NDArray[np.float64]

WARM_UP = dt.timedelta(hours=HOURS)
FAULT_LENGTH = dt.timedelta(hours=24)
FAULT_EVERY = dt.timedelta(days=2)
FOUND_WITHIN = FAULT_LENGTH + dt.timedelta(hours=1)

TARGETS = ("overall", "scene", "busy prompt", "middling prompt")
RANKS = {"scene": 2, "busy prompt": 2, "middling prompt": 9}
"""How many others are used more."""

SIZES: dict[Rule, tuple[float, ...]] = {
    Rule.SUCCESS_RATE: (0.9, 0.8, 0.5),
    Rule.GENERATION_TIME: (1.3, 1.6, 2.5),
    Rule.USAGE: (0.2, 0.1, 0.0),
}
"""What is left of the successes, by what times are multiplied, what is left of the uses."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong for a day. ``size`` as in :data:`SIZES`."""

    rule: Rule
    target: str
    size: float
    start: dt.datetime
    prompt_id: str | None
    scene: str | None

    @property
    def end(self) -> dt.datetime:
        """When all is well again."""
        return self.start + FAULT_LENGTH

    def hit(self) -> pl.Expr:
        """The events that it concerns."""
        of_it = pl.col("created_at").is_between(self.start, self.end, closed="left")
        if self.prompt_id:
            of_it &= pl.col("prompt_id") == self.prompt_id
        if self.scene:
            of_it &= pl.col("scene").eq_missing(self.scene)
        return of_it

    def is_found_by(self, series: Series) -> bool:
        """Whether an alert of the series names it: the rule, and the very prompt or scene, or all."""
        scope = "prompt" if self.prompt_id else "scene" if self.scene else "overall"
        return series == Series(self.rule, scope, self.prompt_id, self.scene)

    def explains(self, series: Series) -> bool:
        """Whether an alert of the series is about it: itself, or what has a share in it."""
        if series.scope == "prompt" and self.prompt_id:
            return series.prompt_id == self.prompt_id
        if series.scope == "scene" and self.scene:
            return series.scene == self.scene
        return True


@dataclass
class Outcome:
    """What came of a history: each alert as it was last, and what people were told when."""

    alerts: dict[tuple[Series, dt.datetime], Alert] = field(default_factory=dict)
    messages: list[tuple[dt.datetime, Series, str]] = field(default_factory=list)
    digests: int = 0
    seconds: float = 0.0
    evaluations: int = 0


def history(seed: int, days: int, a_day: int) -> pl.DataFrame:
    """Events in the order of their arrival, with more ups and downs than chance gives."""
    traffic = Traffic(PROMPTS, round(days * a_day * THINNING), days, seed, UNTIL)
    columns = ["prompt_id", "scene", "success", "generation_time_ms", "created_at"]
    events = pl.concat([pl.DataFrame(batch.select(columns)) for batch in traffic.batches()])
    events = events.with_columns(
        pl.col("prompt_id").bin.encode("hex"),
        arrived_at=pl.col("created_at").fill_null(strategy="forward").cum_max(),
    ).filter(pl.col("created_at").is_not_null())
    rng = np.random.default_rng([seed, 1])
    prompts = events["prompt_id"].unique().sort()
    day = (events["created_at"] - traffic.start).dt.total_days().clip(0).to_numpy()
    hour = (events["created_at"] - traffic.start).dt.total_hours().clip(0).to_numpy()
    prompt = prompts.search_sorted(events["prompt_id"]).to_numpy()
    size = events.height

    def by_day(spread: float) -> Floats:
        effects = rng.normal(0, spread, (days + 1, len(prompts)))
        return np.asarray(effects[day, prompt], dtype=np.float64)

    def by_hour(spread: float) -> Floats:
        """Hours that are like the ones before: half of what is lost or won lasts."""
        steps = rng.normal(0, spread, days * 24 + 24)
        for number in range(1, len(steps)):
            steps[number] = 0.8 * steps[number - 1] + 0.6 * steps[number]
        return np.asarray(steps[hour], dtype=np.float64)

    # A prompt in four fades to a fifth in the time, one in four comes up as much.
    trend = np.log(5) * rng.choice([-1, 0, 0, 1], len(prompts))[prompt] * (day / days - 0.5)
    kept = rng.random(size) < np.exp(np.minimum(by_day(0.25) + by_hour(0.1) + trend - 1.2, 0))
    # A failure more or less: on the scale of the logarithm of its odds.
    worse = by_day(0.15) + by_hour(0.12)
    chance = rng.random(size)
    success = events["success"].fill_null(value=False).to_numpy()
    fails = success & (chance < 0.1 * np.expm1(worse))
    rescued = ~success & (chance < -np.expm1(worse))
    slower = np.exp(by_day(0.03) + by_hour(0.05))
    return events.with_columns(
        success=pl.Series((success & ~fails) | rescued),
        generation_time_ms=pl.col("generation_time_ms") * pl.Series(slower),
    ).filter(pl.Series(kept))


def faults(events: pl.DataFrame, seed: int, days: int) -> list[Fault]:
    """One every second day, each kind, target and size in turn, at any hour."""
    rng = np.random.default_rng([seed, 2])
    kinds = [(rule, target, size) for rule in SIZES for target, size in product(TARGETS, SIZES[rule])]
    start = UNTIL - dt.timedelta(days=days) + WARM_UP
    planted = []
    for number in range((UNTIL - start) // FAULT_EVERY):
        rule, target, size = (
            kinds[int(rng.permutation(len(kinds))[0])]
            if number >= len(kinds)
            else (kinds[(number * 7 + seed) % len(kinds)])
        )
        begin = start + number * FAULT_EVERY + dt.timedelta(minutes=int(rng.integers(0, 24 * 60)))
        before = events.filter(pl.col("created_at").is_between(begin - dt.timedelta(days=7), begin))
        chosen: dict[str, str | None] = {"prompt_id": None, "scene": None}
        if target != "overall":
            column = "scene" if target == "scene" else "prompt_id"
            ranked = before[column].drop_nulls().value_counts(sort=True)
            chosen[column] = str(ranked[column][RANKS[target]])
        planted.append(Fault(rule, target, size, begin, **chosen))
    return planted


def plant(events: pl.DataFrame, planted: list[Fault], seed: int) -> pl.DataFrame:
    """The history with the faults in it."""
    rng = np.random.default_rng([seed, 3])
    chance = pl.Series("chance", rng.random(events.height))
    success, times, kept = pl.col("success"), pl.col("generation_time_ms"), pl.lit(value=True)
    for fault in planted:
        hit = fault.hit()
        if fault.rule is Rule.SUCCESS_RATE:
            success = success & ~(hit & (pl.col("chance") >= fault.size))
        elif fault.rule is Rule.GENERATION_TIME:
            times = pl.when(hit).then(times * fault.size).otherwise(times)
        else:
            kept = kept & ~(hit & (pl.col("chance") >= fault.size))
    return events.with_columns(chance).filter(kept).with_columns(success=success, generation_time_ms=times)


def counts(events: pl.DataFrame, as_of: dt.datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What ``alert_uses.sql`` and ``alert_times.sql`` give, of events that had arrived by then.

    The same, and several times faster on so few events.
    """
    first, last = (
        int(events["arrived_at"].search_sorted(at)) for at in (as_of - dt.timedelta(hours=HOURS), as_of)
    )
    recent = events[first:last].select(
        "prompt_id", "scene", "success", "time_bucket",
        hours_ago=((as_of - pl.col("created_at")).dt.total_microseconds() - 1) // 3_600_000_000,
    ).filter(pl.col("hours_ago").is_between(0, HOURS - 1))  # fmt: skip
    timed = recent.filter(pl.col("time_bucket").is_not_null()).with_columns(
        hours_ago=pl.when(pl.col("hours_ago") < DAY_HOURS)
        .then("hours_ago")
        .otherwise(pl.col("hours_ago") // DAY_HOURS * DAY_HOURS)
    )
    uses, times = [], []
    for scope, keys in (("overall", []), ("scene", ["scene"]), ("prompt", ["prompt_id"])):
        missing = {name: pl.lit(None, pl.String) for name in ("prompt_id", "scene") if name not in keys}
        order: list[pl.Expr] = [pl.lit(scope).alias("scope"), pl.col("prompt_id", "scene", "hours_ago")]
        uses.append(
            recent.group_by(*keys, "hours_ago")
            .agg(usage_count=pl.len().cast(pl.Int64), success_count=pl.col("success").sum().cast(pl.Int64))
            .with_columns(**missing)
            .select(*order, "usage_count", "success_count")
        )
        times.append(
            timed.group_by(*keys, "hours_ago", "time_bucket")
            .agg(usage_count=pl.len().cast(pl.Int64))
            .with_columns(**missing)
            .select(*order, "time_bucket", "usage_count")
        )
    return pl.concat(uses), pl.concat(times)


def watch(events: pl.DataFrame, start: dt.datetime, end: dt.datetime) -> Outcome:
    """Evaluates every quarter of an hour, as the job does."""
    events = events.with_columns(
        time_bucket=(pl.col("generation_time_ms").log() / np.log(GAMMA)).ceil().cast(pl.Int32)
    ).sort("arrived_at")
    outcome = Outcome()
    raised: list[Alert] = []
    began = time.monotonic()
    for now in moments(start, end):
        as_of = now - BEHIND
        judged = judge(*counts(events, as_of), over=over_hours(outcome.alerts.values(), as_of))
        after = advance(raised, findings(judged), as_of, now)
        why = news(after, now)
        after = [told(alert, now) if alert.series in why else alert for alert in after]
        outcome.messages += [(now, series, reason.value) for series, reason in why.items()]
        outcome.digests += bool(why)
        outcome.alerts |= {(alert.series, alert.raised_at): alert for alert in after}
        outcome.evaluations += 1
        raised = [alert for alert in after if not alert.recovered_at]
    outcome.seconds = time.monotonic() - began
    return outcome


def moments(start: dt.datetime, end: dt.datetime) -> Iterator[dt.datetime]:
    """When the job runs."""
    while start < end:
        yield start
        start += EVERY


@dataclass(frozen=True)
class Task:
    """A history to be watched."""

    seed: int
    days: int
    a_day: int
    has_faults: bool


def run(task: Task) -> tuple[Task, int, list[Fault], Outcome]:
    """Makes the history and watches it."""
    events = history(task.seed, task.days, task.a_day)
    planted = faults(events, task.seed, task.days) if task.has_faults else []
    start = UNTIL - dt.timedelta(days=task.days) + WARM_UP
    return task, events.height, planted, watch(plant(events, planted, task.seed), start, UNTIL)


def report_quiet(console: Console, results: list[tuple[Task, int, list[Fault], Outcome]]) -> None:
    """False alarms a month of 30 days."""
    table = Table(
        "rule", "scope", "warnings", "alerts", "messages", title="False alarms a month, without a fault"
    )
    months = sum(outcome.evaluations * EVERY / dt.timedelta(days=30) for *_, outcome in results)
    for rule, scope in product(SIZES, ("overall", "scene", "prompt")):
        of_it = [
            alert.severity
            for *_, outcome in results
            for (series, _), alert in outcome.alerts.items()
            if (series.rule, series.scope) == (rule, scope)
        ]
        told_of = sum(
            (series.rule, series.scope, why) == (rule, scope, "raised")
            for *_, outcome in results
            for _, series, why in outcome.messages
        )
        shares = [of_it.count(state) / months for state in (State.WARNING, State.ALERT)]
        table.add_row(rule, scope, *(f"{share:.2f}" for share in (*shares, told_of / months)))
    console.print(table)
    total = sum(len(outcome.alerts) for *_, outcome in results)
    console.print(f"{total} false alarms in {months:.1f} months: {total / months:.2f} a month")


def report_faults(console: Console, results: list[tuple[Task, int, list[Fault], Outcome]]) -> None:
    """What was found of each kind, after how long, and what else was raised."""
    table = Table("rule", "target", "size", "planted", "found", "as alert", "median delay", "longest")
    others: dict[str, int] = {}
    days = 0.0
    delays: dict[tuple[Rule, str, float], list[tuple[dt.timedelta, State] | None]] = {}
    for task, _, planted, outcome in results:
        alerts = sorted(outcome.alerts.items(), key=lambda item: item[0][1])
        explained = set()
        for fault in planted:
            about = [
                (key, alert)
                for key, alert in alerts
                if fault.start <= key[1] <= fault.end + FOUND_WITHIN - FAULT_LENGTH and fault.explains(key[0])
            ]
            explained |= {key for key, _ in about}
            own = [(key, alert) for key, alert in about if fault.is_found_by(key[0])]
            entry = (own[0][0][1] - fault.start, own[0][1].severity) if own else None
            delays.setdefault((fault.rule, fault.target, fault.size), []).append(entry)
        for key, _ in alerts:
            if key not in explained:
                name = f"{key[0].rule} of {key[0].scope}"
                others[name] = others.get(name, 0) + 1
        days += task.days - WARM_UP / dt.timedelta(days=1)
    for rule, target in product(SIZES, TARGETS):
        for size in SIZES[rule]:
            entries = delays.get((rule, target, size), [])
            hits = sorted(entry[0] for entry in entries if entry)
            severe = sum(entry is not None and entry[1] is State.ALERT for entry in entries)
            table.add_row(
                rule, target, str(size), str(len(entries)), str(len(hits)), str(severe),
                *((hours(hits[(len(hits) - 1) // 2]), hours(hits[-1])) if hits else ("", "")),
            )  # fmt: skip
    console.print(table)
    whole = [entry for entries in delays.values() for entry in entries]
    console.print(f"{sum(map(bool, whole))} of {len(whole)} found, in {days:.0f} days")
    console.print(f"{sum(others.values())} other alerts in them, {others}")


def hours(length: dt.timedelta) -> str:
    """A length of time as 1.25 h."""
    return f"{length / dt.timedelta(hours=1):.2f} h"


def main() -> None:
    """Prints what was found and what was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12])
    parser.add_argument("--days", type=int, default=45)
    parser.add_argument("--a-day", type=int, default=3000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    console = Console(width=120)
    tasks = [
        Task(seed, options.days, options.a_day, has_faults)
        for has_faults in (True, False)
        for seed in options.seeds
    ]
    with get_context("spawn").Pool(options.processes) as pool:
        results = pool.map(run, tasks, chunksize=1)
    for task, size, planted, outcome in results:
        console.print(
            f"seed {task.seed}: {size:,} events in {task.days} days, {len(planted)} faults, "
            f"{outcome.evaluations:,} evaluations of {outcome.seconds / outcome.evaluations * 1000:.0f} ms, "
            f"{len(outcome.alerts)} alerts, {outcome.digests} messages"
        )
    report_faults(console, [result for result in results if result[0].has_faults])
    report_quiet(console, [result for result in results if not result[0].has_faults])


if __name__ == "__main__":
    main()
