"""Answers as tables and small charts for a terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table

from pipeline.cli.terminal import literal, one_line
from pipeline.days import NOTHING_KNOWN
from pipeline.formats import NONE, count, moment, percent, quoted_if_blank, seconds, shown
from pipeline.maintenance.rejected import Rejections

if TYPE_CHECKING:
    # polars takes a moment to import, and most commands do without.
    from pipeline.adoption.schema import MigrationPlan
    from pipeline.health.checks.report import Check, Report
    from pipeline.health.doctor.findings import Finding

COLOURS = {"OK": "green", "WARN": "yellow", "ERROR": "red"}
DAYS_SHOWN = 14
DIFFERING_SHOWN = 10
PROMPT_WIDTH = 40
LIGHTS = {"ok": "green", "warning": "yellow", "wrong": "bold red", "not checked": "dim"}
STYLES = {"ALERT": "bold red", "WARNING": "yellow", "OK": "green"}


def age(answer: Mapping[str, Any]) -> str:
    """The moment that an answer is as of, and how long ago that was."""
    if answer["as_of"] is None:
        return "nothing has been published yet; run: prompt-stats refresh"
    if answer["as_of"] == NOTHING_KNOWN:
        return "not complete yet: some days changed while they were read; run prompt-stats refresh again"
    return f"as of {moment(answer['as_of'])}, {answer['lag_seconds']:,.0f} s ago"


def _known(moment_known: dt.datetime | None) -> str:
    return f"as of {moment(moment_known)}" if moment_known else "nothing has been published yet"


def status(answer: Mapping[str, Any]) -> RenderableType:
    """The answer of ``reading.status``."""
    table = Table.grid(padding=(0, 2))
    rows = {
        "freshness": age(answer),
        "last publish": moment(answer["published_at"]) if answer["published_at"] else "none",
        "oldest writer": _writer(answer["oldest_writer"]),
        "stats of users": _known(answer["user_stats_as_of"]),
        "stats by value": _known(answer["value_stats_as_of"]),
        "write-back": _write_back(answer["write_back"], answer["write_back_as_of"]),
        "events counted": count(answer["usage_count"]),
        "prompts": count(answer["prompt_count"]),
        "stale days": _days(answer["stale_days"]),
        "days not completed": _days([dt.date.fromisoformat(day) for day in answer["pending_days"]]),
        "events held back": count(answer["held_back_count"]),
        "events rejected": count(answer["rejected_count"]),
        "unusable times": unusable(answer["unusable_count"], answer["unusable_examples"]),
        "days only in the lake": _expired(answer),
        "damaged days": _damaged(answer["damage"]),
    }
    for name, value in rows.items():
        table.add_row(literal((name, "bold")), value)
    return table


def _expired(answer: Mapping[str, Any]) -> str:
    said = count(answer["expired_day_count"])
    if answer["dropped_day_count"]:
        said += f", {count(answer['dropped_day_count'])} of them because their partition was dropped"
    if answer["dropped_partitions"] == "count-down":
        said += "; if a partition is dropped from now on, its days are no longer counted"
    return said


def unusable(number: int | None, examples: Sequence[str]) -> str:
    """How many events have an unusable time, and the ids of some of them."""
    if number is None:
        return "unknown"
    return f"{count(number)}, for example in {', '.join(examples)}" if examples else count(number)


def _write_back(state: str | None, as_of: dt.datetime | None) -> str:
    if state in (None, "on"):
        return state or _known(None)
    why = "off" if state == "off" else "waiting for the days not completed"
    had = f"are as of {moment(as_of)}" if as_of else "are those of the app"
    return f"{why}; nothing is written to prompts, and its counters {had}"


def drift(answer: Mapping[str, Any]) -> RenderableType:
    """The answer of ``reading.drift``."""
    from pipeline.stats.drift import rows

    found = answer["counter_drift"]
    if found is None:
        return "The app has kept no counters in prompts, so there is nothing to compare."
    names = {each["prompt_id"]: each["name"] for each in found["prompts"] if each["name"]}
    header, lines = rows(found, names, DIFFERING_SHOWN)
    differing = f"{count(found['differing_count'])} of {count(found['prompt_count'])} prompts"
    # A comparison that was made just now belongs to no refresh.
    was = "differ at" if answer["refresh_id"] is None else "differed before the write-back of"
    when = f"{was} {moment(answer['compared_at'])}. Events were counted as of {moment(answer['as_of'])}"
    table = Table(
        title="Counters in prompts → events counted",
        title_justify="left",
        box=box.SIMPLE,
    )
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for name, *counters in lines:
        table.add_row(one_line(name), *counters)
    return Group(table, f"{differing} {when}.", "To see all of them: prompt-stats drift --json")


def checks(made: Sequence[tuple[Check, Report]]) -> RenderableType:
    """What the checks found. For those that failed, the worst offenders and what to do."""
    table = Table.grid(padding=(0, 2))
    failed: list[RenderableType] = []
    for each, report in made:
        said = "OK" if report.passed else each.severity.value
        table.add_row(literal((said, COLOURS[said])), literal((each.name, "bold")), report.summary)
        if report.passed:
            continue
        failed += ["", literal((each.name, "bold")), each.remedy]
        if report.worst:
            worst = Table(box=box.SIMPLE)
            for name in report.worst[0]:
                worst.add_column(name)
            for row in report.worst:
                worst.add_row(*(shown(each) for each in row.values()))
            failed.append(worst)
    return Group(table, *failed)


def migration_plan(plan: MigrationPlan) -> RenderableType:
    """What a migration would do: each step with its lock and its statements."""
    lines: list[RenderableType] = []
    if not plan.revisions and not plan.steps:
        lines = ["Nothing to do: everything that is needed is there."]
    lines += [f"migrates our own tables: {revision}" for revision in plan.revisions]
    for step in plan.steps:
        lines += [
            literal((step.what, "bold")),
            f"  lock on an app's table: {step.lock.value}",
            *(literal((f"  {' '.join(statement.split())};", "dim")) for statement in step.statements),
        ]
    for offer in plan.offers:
        lines += [
            f"optional, and not done by migrate: {offer.what}",
            literal((f"  {offer.statement};", "dim")),
        ]
    warnings = [literal((f"warning: {each.what}. {each.remedy}.", "yellow")) for each in plan.warnings]
    return Group(*lines, *warnings)


def findings(found: Sequence[Finding]) -> RenderableType:
    """What ``pipeline.health.doctor`` found, one line each, and what to do below it."""
    table = Table.grid(padding=(0, 2))
    for each in found:
        said = literal((each.status.value, LIGHTS[each.status.value]))
        table.add_row(said, literal((each.name, "bold")), each.summary)
        if each.remedy:
            table.add_row("", "", literal((f"→ {each.remedy}", "italic")))
    return table


def _writer(writer: Mapping[str, Any] | None) -> str:
    """The transaction that ``as_of`` waits for."""
    if not writer:
        return "none"
    seconds = writer["open_seconds"]
    since = "since a time that this role may not see" if seconds is None else f"for {seconds:,.0f} s"
    process = f"pid {writer['pid']}" if writer["pid"] else "prepared"
    parts = [process, f"role {writer['role']}", f"database {writer['database']}", writer["application_name"]]
    return f"{', '.join(each for each in parts if each)}: open {since}"


def _damaged(found: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(f"{each['table']} of {each['day']}: {each['remedy']}" for each in found) or "none"


def rejections(found: Rejections) -> RenderableType:
    """What ``pipeline.maintenance.rejected.rejections`` found."""
    if not found.count:
        return "No events were rejected."
    reasons = Table(title=f"{count(found.count)} rejected events", box=box.SIMPLE, title_justify="left")
    reasons.add_column("events", justify="right")
    reasons.add_column("reason")
    for reason, events in found.reasons.items():
        reasons.add_row(count(events), reason)
    latest = Table(title="The latest events", box=box.SIMPLE, title_justify="left")
    for name, width in (("id", None), ("rejected at", None), ("prompt", PROMPT_WIDTH), ("reason", None)):
        latest.add_column(name, max_width=width)
    for event in found.events:
        # Whoever may write the table may have put any JSON there.
        prompt = event["payload"].get("prompt_id", "") if isinstance(event["payload"], dict) else ""
        latest.add_row(str(event["id"]), moment(event["rejected_at"]), one_line(str(prompt)), event["reason"])
    return Group(reasons, latest)


def top(answer: Mapping[str, Any]) -> RenderableType:
    """The answer of ``reading.top_prompts``."""
    table = Table(
        title=f"Most used prompts{_in_days(answer)}",
        caption=age(answer),
        title_justify="left",
        box=box.SIMPLE,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("prompt", overflow="fold")
    for name, width in (("uses", 7), ("success", 7), ("at least", 8), ("mean", 7), ("p95", 7)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for prompt in answer["prompts"]:
        table.add_row(
            one_line(prompt["slug"]) if prompt["slug"] else Group(one_line(prompt["name"]), _id(prompt)),
            count(prompt["usage_count"]),
            percent(prompt["success_rate"]),
            percent(prompt["success_rate_lower"]),
            seconds(prompt["avg_generation_time_ms"]),
            seconds(prompt["p95_generation_time_ms"]),
        )
    return table


def comparison(answer: Mapping[str, Any]) -> RenderableType:
    """The answer of ``reading.compare``."""
    table = Table(box=box.SIMPLE, padding=0, pad_edge=False, show_edge=False, caption=age(answer))
    table.add_column("prompt")
    for name in ("from", "to", "uses", "success", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in answer["prompts"]:
        lower, upper = each["success_rate_lower"], each["success_rate_upper"]
        table.add_row(
            one_line(each["label"]),
            each["from"].isoformat(),
            each["to"].isoformat(),
            count(each["usage_count"]),
            percent(each["success_rate"]),
            NONE if lower is None else f"{lower:.1f} to {upper:.1f}",
        )
    verdicts = [literal((each["verdict"], "bold")) for each in answer["differences"]]
    sure = f"Days are in {answer['timezone']}. Differences are in percentage points, with 95 % confidence"
    if len(verdicts) > 1:
        each = answer["differences"][0]["confidence"]
        sure += f" together: {each:.1f} % for each of the {len(verdicts)}"
    return Group(*verdicts, "", table, "", f"{sure}.")


def _in_days(answer: Mapping[str, Any]) -> str:
    """The days that an answer is of, or nothing if it is of all time."""
    if "from" not in answer:
        return ""
    return f", {answer['from']} to {answer['to']}, days of {answer['timezone']}"


def alerts(answer: Mapping[str, Any]) -> RenderableType:
    """The answer of ``reading.alerts``."""
    if answer["evaluated_at"] is None:
        return (
            "No alerts. They have never been evaluated. Is Dagster's schedule running? See: prompt-stats ui"
        )
    evaluated = f"Evaluated {moment(answer['evaluated_at'])}, {age(answer)}."
    if answer["damaged_days"]:
        days = ", ".join(day.isoformat() for day in answer["damaged_days"])
        evaluated += f" Events that can't be read were left out, on {days}. See: prompt-stats check"
    if not answer["alerts"]:
        return f"No alerts. {evaluated}"
    table = Table(box=box.SIMPLE, caption=evaluated, title_justify="left")
    table.add_column("id", justify="right")
    table.add_column("state")
    table.add_column("what")
    table.add_column("raised")
    for alert in answer["alerts"]:
        is_silenced = alert["silenced_until"] and not alert["recovered_at"]
        silenced = " muted" if is_silenced else ""
        state = literal((alert["state"], STYLES.get(alert["state"], "")), (silenced, "dim"))
        table.add_row(str(alert["id"]), state, alert["text"], moment(alert["raised_at"]))
    return table


def prompt(answer: Mapping[str, Any]) -> RenderableType:
    """The answer of ``reading.prompt``."""
    facts = Table.grid(padding=(0, 2))
    rows = {
        "uses": f"{count(answer['usage_count'])}{_in_days(answer)}"
        if "from" in answer
        else f"{count(answer['usage_count'])}, {count(answer['usage_count_7d'])} in the last 7 whole days, "
        f"{count(answer['usage_count_30d'])} in 30",
        "success": f"{percent(answer['success_rate'])} of {count(answer['usage_count'])}, "
        f"at least {percent(answer['success_rate_lower'])} with 95 % confidence",
        "outcomes": f"{count(answer['success_count'])} succeeded, {count(answer['failure_count'])} failed, "
        f"{count(answer['usage_count'] - answer['success_count'] - answer['failure_count'])} unknown",
        "time": f"mean {seconds(answer['avg_generation_time_ms'])}, "
        f"median {seconds(answer['p50_generation_time_ms'])}, "
        f"p95 {seconds(answer['p95_generation_time_ms'])}",
        "users": f"{count(answer['unique_users'])}, {count(answer['favorite_count'])} have it as a favourite",
        "last used": moment(answer["last_used_at"]),
    }
    for name, value in rows.items():
        facts.add_row(literal((name, "bold")), value)
    title = [one_line((answer["name"], "bold underline")), _id(answer)]
    if answer["slug"]:
        title.append(one_line((answer["slug"], "dim")))
    return Group(
        *title, facts, "", _scenes(answer["scenes"]), "", _chart(answer["days"][-DAYS_SHOWN:]), age(answer)
    )


def _id(prompt: Mapping[str, Any]) -> RenderableType:
    return literal((str(prompt["id"]), "dim"))


def _scenes(scenes: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = Table(title="By scene", title_justify="left", box=box.SIMPLE)
    table.add_column("scene")
    for name in ("uses", "success", "mean"):
        table.add_column(name, justify="right")
    table.add_column("")
    for scene in scenes:
        table.add_row(
            one_line(("none given", "dim") if scene["scene"] is None else quoted_if_blank(scene["scene"])),
            count(scene["usage_count"]),
            percent(scene["success_rate"]),
            seconds(scene["avg_generation_time_ms"]),
            scene["standing"] or "",
        )
    return table


def _chart(days: Sequence[Mapping[str, Any]]) -> RenderableType:
    highest = max((day["usage_count"] for day in days), default=0) or 1
    table = Table.grid(padding=(0, 1))
    for day in days:
        uses = day["usage_count"]
        table.add_row(f"{day['day']:%a %d %b}", Bar(highest, 0, uses, width=40), count(uses))
    return Group(literal((f"Last {len(days)} days", "italic")), table)


def _days(days: Sequence[dt.date]) -> str:
    if not days:
        return "none"
    shown = ", ".join(day.isoformat() for day in days[:5])
    return f"{len(days)}: {shown}{', …' if len(days) > 5 else ''}"
