"""Alerts as text for people: one sentence each, and several in one message. No I/O.

A message is a dictionary of JSON, the same on every channel; Slack and mail get its text. What it says
comes from the rows of ``stats_alerts`` with ``prompt_name`` beside them. Names are written by others: in
title and text their line breaks are escaped, so that none begins a line of its own; the list is unchanged.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import formats
from pipeline.alerts.states import News

Row = Mapping[str, Any]
Message = dict[str, Any]

LISTED = 20
"""Alerts whose sentences are in the text; all are in the list."""

PLAIN_WORDS = re.compile(r"\w[\w-]*( \w[\w.-]*)?", re.ASCII)
TERMINAL_CODE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
"""Escape sequences such as colours, which libraries put into their errors."""

HEADINGS = {
    News.RAISED: "raised",
    News.WORSE: "worse",
    News.STILL: "still there",
    News.RECOVERED: "recovered",
}

FIGURES = ("window_hours", "recent_count", "recent_value", "past_count", "past_value", "effect", "q_value")


def subject(row: Row) -> str:
    """What an alert is about: the prompt or scene by its name."""
    if row["scope"] == "prompt":
        return f"prompt {formats.quoted_if_blank(row['prompt_name'] or str(row['prompt_id']))}"
    if row["scope"] == "scene":
        return "no scene given" if row["scene"] is None else f"scene {formats.quoted_if_blank(row['scene'])}"
    return "all prompts"


def sentence(row: Row) -> str:
    """What is wrong, with the figures that show it. An alert that recovered has the present figures."""
    recent, past = row["recent_value"], row["past_value"]
    if row["rule"] == "freshness":
        return f"The stats are as of {formats.moment(row['as_of'])}, {recent / 60:,.0f} min behind"
    hours = row["window_hours"]
    window = "the last hour" if hours == 1 else f"the last {hours} hours"
    uses = f"{formats.count(row['recent_count'])} use{'' if row['recent_count'] == 1 else 's'}"
    about = subject(row)
    if row["rule"] == "success_rate":
        return f"Success rate of {about}: {recent:.1f} % of {uses} in {window}, {past:.1f} % before"
    if row["rule"] == "generation_time":
        times = f"{formats.seconds(recent)} over {uses} in {window}, {formats.seconds(past)} before"
        return f"Median generation time of {about}: {times}"
    count = formats.count(row["recent_count"])
    return f"Uses of {about}: {count} in {window}, {past:,.0f} in the same hours before"


def digest(told: Sequence[tuple[News, Row]], as_of: dt.datetime) -> Message:
    """One message with all news of an evaluation, the worst first."""
    order = list(HEADINGS)
    told = sorted(
        told, key=lambda each: (order.index(each[0]), each[1]["severity"] != "ALERT", each[1]["id"])
    )
    counts = {why: sum(each is why for each, _ in told) for why in order}
    title = ", ".join(f"{count} {HEADINGS[why]}" for why, count in counts.items() if count)
    lines = [
        f"{'OK' if why is News.RECOVERED else row['severity']} {HEADINGS[why]}: {sentence(row)}"
        for why, row in told[:LISTED]
    ]
    if len(told) > LISTED:
        lines.append(f"and {len(told) - LISTED} more: prompt-stats alerts")
    lines.append(_next_step(*told[0]))
    return {
        "kind": "alerts",
        "title": f"prompt-stats: {title}",
        "text": "\n".join(lines),
        "asOf": as_of.isoformat(),
        "alerts": [_alert(why, row) for why, row in told],
    }


def _next_step(why: News, row: Row) -> str:
    """What to type about the worst alert of a message."""
    if why is News.RECOVERED:
        return "Next: there is nothing to do; prompt-stats alerts --days 1 shows what recovered"
    about = {"prompt": f"show {row['prompt_id']}", "stats": "status"}.get(row["scope"], "alerts")
    # It will be pasted into a shell, and an app's id may be any text.
    if not PLAIN_WORDS.fullmatch(about):
        about = "alerts"
    return f"Next: run prompt-stats {about}; to mute it for a day: prompt-stats alerts --silence {row['id']}"


def trial() -> Message:
    """The test message, which shows whether a receiver is configured correctly."""
    return {
        "kind": "test",
        "title": "prompt-stats: test message",
        "text": "This receiver gets the alerts of prompt-stats. Nothing is wrong.\n"
        "Next: there is nothing to do; prompt-stats alerts shows the alerts",
    }


def run_failure(job: str, run_id: str, error: str, backfill: str | None) -> Message:
    """The message about a failed Dagster run."""
    of_backfill = f" of backfill {formats.visible(backfill)}" if backfill else ""
    name = formats.visible(job)
    said = formats.visible(" ".join(TERMINAL_CODE.sub("", error).split()))
    return {
        "kind": "run_failure",
        "title": f"prompt-stats: {name} failed",
        "text": f"The run {run_id}{of_backfill} of {name} failed: {said}\n"
        f"Next: run prompt-stats doctor; the run's log is in Dagster at /runs/{run_id}",
        "job": job,
        "runId": run_id,
        "backfillId": backfill,
    }


def _alert(why: News, row: Row) -> Message:
    return {
        "id": row["id"],
        "news": why.value,
        "state": row["state"],
        "severity": row["severity"],
        "rule": row["rule"],
        "scope": row["scope"],
        "promptId": row["prompt_id"] and str(row["prompt_id"]),
        "promptName": row["prompt_name"],
        "scene": row["scene"],
        "text": sentence(row),
        "raisedAt": row["raised_at"].isoformat(),
        "windowHours": row["window_hours"],
        "recentCount": row["recent_count"],
        "recentValue": row["recent_value"],
        "pastCount": row["past_count"],
        "pastValue": row["past_value"],
    }
