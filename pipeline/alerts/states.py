"""The states of an alert (raised, worse, without data, recovered), and when people are notified. No I/O.

One evaluation raises an alert. It recovers when nothing has indicated it for an hour. The condition that
raises it is far stricter than the one that keeps it, so that it does not flap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

RECOVERED_AFTER = dt.timedelta(hours=1)
"""How long nothing must indicate an alert before it is over, in the time of the events."""

FORGOTTEN_AFTER = dt.timedelta(days=7)
"""After this time, an alert is over if its series has too few events to be tested."""

RENOTIFY_AFTER = dt.timedelta(hours=24)
"""How long an alert lasts before people are notified again."""


class Rule(StrEnum):
    """What can be wrong."""

    SUCCESS_RATE = "success_rate"
    GENERATION_TIME = "generation_time"
    USAGE = "usage"
    FRESHNESS = "freshness"


class State(StrEnum):
    """``NO_DATA``: it was raised, and now there are too few events to say more."""

    OK = "OK"
    WARNING = "WARNING"
    ALERT = "ALERT"
    NO_DATA = "NO_DATA"


LEVELS = {1: State.WARNING, 2: State.ALERT}
SEVERITY = {State.OK: 0, State.NO_DATA: 0, State.WARNING: 1, State.ALERT: 2}


class Series(NamedTuple):
    """What is watched by which rule. ``prompt_id`` and ``scene`` as the scope has them, else None."""

    rule: Rule
    scope: str
    prompt_id: str | None = None
    scene: str | None = None


@dataclass(frozen=True)
class Figures:
    """What was measured: the window that shows it best, beside the past. As ``rules.judge`` has them."""

    window_hours: int | None = None
    recent_count: int | None = None
    recent_value: float | None = None
    past_count: int | None = None
    past_value: float | None = None
    effect: float | None = None
    q_value: float | None = None


@dataclass(frozen=True)
class Finding:
    """What an evaluation says of a series. ``level`` and ``is_wrong`` as ``rules.judge`` has them."""

    level: int
    is_wrong: bool
    figures: Figures


@dataclass(frozen=True)
class Alert:
    """From when a series was found wrong until it recovered.

    ``severity``: the worst state so far, which is what people are told. ``state``: the present one.
    ``fine_since``: from when on nothing spoke for it. ``as_of``: up to when events were looked at.
    """

    series: Series
    state: State
    severity: State
    figures: Figures
    raised_at: dt.datetime
    as_of: dt.datetime
    fine_since: dt.datetime | None = None
    recovered_at: dt.datetime | None = None
    notified_at: dt.datetime | None = None
    notified_severity: State | None = None
    silenced_until: dt.datetime | None = None
    id: int | None = None


class News(StrEnum):
    """Why people are notified of an alert."""

    RAISED = "raised"
    WORSE = "worse"
    STILL = "still"
    RECOVERED = "recovered"


def advance(
    alerts: Iterable[Alert], findings: Mapping[Series, Finding], as_of: dt.datetime, now: dt.datetime
) -> list[Alert]:
    """The alerts that were not over, as an evaluation leaves them, and those that it raises.

    ``findings``: of every series that could be tested. ``as_of``: up to when events were looked at.
    """
    known = {alert.series: alert for alert in alerts}
    after = [_next(alert, findings.get(series), as_of, now) for series, alert in known.items()]
    for series, finding in findings.items():
        if finding.level and series not in known:
            state = LEVELS[finding.level]
            after.append(Alert(series, state, state, finding.figures, now, as_of))
    return after


def _next(alert: Alert, finding: Finding | None, as_of: dt.datetime, now: dt.datetime) -> Alert:
    if finding is None:
        fine_since = alert.fine_since or as_of
        is_over = as_of - fine_since >= FORGOTTEN_AFTER
        state = State.OK if is_over else State.NO_DATA
        return replace(
            alert, state=state, fine_since=fine_since, as_of=as_of, recovered_at=now if is_over else None
        )
    if finding.is_wrong:
        # What is still wrong, if less than it was, is as bad as it was when that was certain.
        severity = max(alert.severity, LEVELS.get(finding.level, alert.severity), key=SEVERITY.__getitem__)
        figures = finding.figures if finding.level else alert.figures
        return replace(
            alert, state=severity, severity=severity, figures=figures, as_of=as_of, fine_since=None
        )
    fine_since = (alert.fine_since if alert.state is not State.NO_DATA else None) or as_of
    if as_of - fine_since < RECOVERED_AFTER:
        return replace(alert, state=alert.severity, as_of=as_of, fine_since=fine_since)
    return replace(
        alert,
        state=State.OK,
        figures=finding.figures,
        as_of=as_of,
        fine_since=fine_since,
        recovered_at=now,
    )


def over_hours(alerts: Iterable[Alert], as_of: dt.datetime) -> dict[Series, float]:
    """For how many hours each alert that recovered has been over, in the time of the events."""
    return {
        alert.series: (as_of - alert.fine_since) / dt.timedelta(hours=1)
        for alert in sorted(alerts, key=lambda each: each.raised_at)
        if alert.recovered_at and alert.fine_since
    }


def news(alerts: Iterable[Alert], now: dt.datetime) -> dict[Series, News]:
    """The alerts that people have to be notified of, and why.

    While all events together are found wrong by a rule, its scenes and prompts are not news.
    """
    alerts = list(alerts)
    overall = {alert.series.rule for alert in alerts if _is_overall(alert) and not alert.recovered_at}
    told = {}
    for alert in alerts:
        is_covered = alert.series.rule in overall and not _is_overall(alert)
        why = _why(alert, now)
        if why and (why is News.RECOVERED or not is_covered) and not _is_silenced(alert, now):
            told[alert.series] = why
    return told


def _is_overall(alert: Alert) -> bool:
    return alert.series.scope == "overall"


def _is_silenced(alert: Alert, now: dt.datetime) -> bool:
    return alert.silenced_until is not None and now < alert.silenced_until


def _why(alert: Alert, now: dt.datetime) -> News | None:
    if alert.notified_at is None or alert.notified_severity is None:
        # Over before anybody was told: there is nothing to tell.
        return None if alert.recovered_at else News.RAISED
    if alert.recovered_at:
        return News.RECOVERED
    if SEVERITY[alert.severity] > SEVERITY[alert.notified_severity]:
        return News.WORSE
    if alert.state is not State.NO_DATA and now - alert.notified_at >= RENOTIFY_AFTER:
        return News.STILL
    return None


def told(alert: Alert, now: dt.datetime) -> Alert:
    """The alert after people were notified of it."""
    return replace(alert, notified_at=now, notified_severity=alert.severity)
