"""Evaluates the alerts over the lake and Postgres, writes what changed, and sends what is new.

It reads the raw events of the last 15 days from the lake, and not the stats tables. It takes no lock that a
refresh takes. It looks at events up to ``as_of`` of the published stats, so events that had not arrived by
then do not count as missing.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import polars as pl
from sqlalchemy import Connection, RowMapping, delete, insert, or_, select, update

from pipeline.alerts import notifier
from pipeline.alerts.comparison import DAY_HOURS, HOURS
from pipeline.alerts.messages import Row, digest
from pipeline.alerts.raised import alert_rows
from pipeline.alerts.rules import judge
from pipeline.alerts.states import (
    Alert,
    Figures,
    Finding,
    Rule,
    Series,
    State,
    advance,
    news,
    over_hours,
    told,
)
from pipeline.database.connections import Database
from pipeline.database.locks import Lock
from pipeline.database.tables import prompts, stats_alert_evaluation, stats_alerts
from pipeline.days import NOTHING_KNOWN, DayRange
from pipeline.engines import duckdb_engine
from pipeline.errors import LakeError, NotFoundError
from pipeline.installation import Installation
from pipeline.lake import damage, source
from pipeline.lake.usage_events import open_own_events, open_usage_events
from pipeline.settings import Settings

BEHIND = {State.WARNING: dt.timedelta(minutes=30), State.ALERT: dt.timedelta(hours=2)}
"""How far the stats, which are refreshed every five minutes, may be behind."""

FRESHNESS = Series(Rule.FRESHNESS, "stats")
REMEMBERED = dt.timedelta(days=2)
"""How long a recovered alert is considered: longer than the longest window, since stats may be behind."""

EVALUATIONS_KEPT = dt.timedelta(days=30)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. ``alerts``: those that are raised, as rows of ``alerts/alerts.sql``.

    ``as_of`` is None, and nothing was looked at, before the first publish. ``told``: of how many alerts
    people are told. ``failures``: the channels that did not take their messages, and why. ``left_out``: the
    days that could not be read, and why; the others were looked at.
    """

    as_of: dt.datetime | None
    tested: int = 0
    alerts: Sequence[Row] = ()
    told: int = 0
    sent: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    left_out: dict[dt.date, str] = field(default_factory=dict)
    seconds: float = 0.0


def evaluate(database: Database, settings: Settings) -> Evaluation:
    """Compares the last hours with the past, raises alerts, ends them, and sends messages.

    :raises LakeError: the lake can't be read.
    """
    started = time.perf_counter()
    with database.locked(Lock.ALERTS):
        with database.engine.connect() as connection:
            latest = source.latest_refresh(connection)
            retired = connection.scalars(
                select(prompts.c.id).where(
                    or_(prompts.c.is_active.is_(False), prompts.c.deleted_at.isnot(None))
                )
            ).all()
            known = _known(connection)
        if latest is None or latest["as_of"] == NOTHING_KNOWN:
            return Evaluation(None)
        as_of, now = latest["as_of"], dt.datetime.now(dt.UTC)
        over, raised = over_hours(known, as_of), [alert for alert in known if not alert.recovered_at]
        without = {"retired": [str(prompt) for prompt in retired], "over": over}
        judged, left_out = _judged(Installation.of(settings, database), as_of, without)
        found = findings(judged) | {FRESHNESS: freshness(now - as_of)}
        alerts = advance(raised, found, as_of, now)
        with database.engine.begin() as connection:
            alerts = [_written(connection, alert, now) for alert in alerts]
            alerts, messages = _announced(connection, alerts, settings, now)
            _record(connection, as_of, now, len(found), alerts)
            rows = alert_rows(connection, recovered_days=0)
        delivery = notifier.deliver(database, settings)
    seconds = time.perf_counter() - started
    return Evaluation(as_of, len(found), rows, messages, delivery.sent, delivery.failures, left_out, seconds)


def counts(
    lake: str, as_of: dt.datetime, without: Collection[dt.date] = ()
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of ``alert_uses.sql`` and ``alert_times.sql`` at a moment, but for some days.

    :raises LakeError: the lake can't be read.
    """
    events = open_usage_events(lake).scan(_days(lake, as_of) - set(without))
    period = {"until": as_of, "hours": HOURS}
    return (
        duckdb_engine.run("alert_uses", period, usage_events=events),
        duckdb_engine.run("alert_times", {**period, "recent_hours": DAY_HOURS}, usage_events=events),
    )


def _days(lake: str, as_of: dt.datetime) -> set[dt.date]:
    wanted = DayRange((as_of - dt.timedelta(hours=HOURS)).date(), as_of.date())
    held = open_usage_events(lake).days()["day"]
    return {day for day in held if wanted.first <= day <= wanted.last}


def _judged(
    installation: Installation, as_of: dt.datetime, without: Mapping[str, Any]
) -> tuple[pl.DataFrame, dict[dt.date, str]]:
    """What the rules say, and the days that it is without since they can't be read.

    ``without``: what ``rules.judge`` leaves out. Uses of the last day are not missed while it can't be read.
    """
    lake = installation.lake
    open_own_events(installation)
    try:
        return judge(*counts(lake, as_of), **without), {}
    except LakeError:
        unreadable = open_usage_events(lake).damaged_days(_days(lake, as_of))
        if not unreadable:
            raise
    noted = damage.note_unreadable(installation.database, unreadable)
    judged = judge(*counts(lake, as_of, unreadable), **without)
    if max(unreadable) >= (as_of - dt.timedelta(hours=DAY_HOURS)).date():
        judged = judged.filter(pl.col("rule") != Rule.USAGE)
    return judged, noted


def findings(judged: pl.DataFrame) -> dict[Series, Finding]:
    """The rows of ``rules.judge`` by series."""
    names = [each.name for each in fields(Figures)]
    return {
        Series(Rule(row["rule"]), row["scope"], row["prompt_id"], row["scene"]): Finding(
            row["level"], row["is_wrong"], Figures(**{name: row[name] for name in names})
        )
        for row in judged.iter_rows(named=True)
    }


def freshness(lag: dt.timedelta) -> Finding:
    """Whether the stats are too far behind, since their refresh may have stopped."""
    level = sum(lag > limit for limit in BEHIND.values())
    still = lag > BEHIND[State.WARNING] / 2
    return Finding(level, still, Figures(recent_value=lag.total_seconds()))


def silence(database: Database, alert_id: int, length: dt.timedelta) -> dt.datetime:
    """Mutes a raised alert for a while, and returns until when.

    :raises NotFoundError: no alert of this id is raised.
    """
    until = dt.datetime.now(dt.UTC) + length
    is_it = (stats_alerts.c.id == alert_id) & stats_alerts.c.recovered_at.is_(None)
    with database.engine.begin() as connection:
        found = connection.execute(
            update(stats_alerts).where(is_it).values(silenced_until=until).returning(stats_alerts.c.id)
        ).one_or_none()
    if found is None:
        raise NotFoundError(
            f"Muting alert {alert_id}",
            "no raised alert has this id",
            "Run prompt-stats alerts to see them",
        )
    return until


def _known(connection: Connection) -> list[Alert]:
    """The raised alerts, and those that recovered so recently that a window may contain their fault."""
    lately = dt.datetime.now(dt.UTC) - REMEMBERED
    is_known = stats_alerts.c.recovered_at.is_(None) | (stats_alerts.c.recovered_at > lately)
    rows = connection.execute(select(stats_alerts).where(is_known)).mappings()
    return [_alert(row) for row in rows]


def _alert(row: RowMapping) -> Alert:
    own = {each.name: row[each.name] for each in fields(Alert) if each.name not in ("series", "figures")}
    severities = {name: State(own[name]) for name in ("state", "severity")}
    notified = own["notified_severity"] and State(own["notified_severity"])
    prompt_id = row["prompt_id"] and str(row["prompt_id"])
    return Alert(
        series=Series(Rule(row["rule"]), row["scope"], prompt_id, row["scene"]),
        figures=Figures(**{each.name: row[each.name] for each in fields(Figures)}),
        **{**own, **severities, "notified_severity": notified},
    )


def _written(connection: Connection, alert: Alert, now: dt.datetime) -> Alert:
    """The alert as it is in the table, with its id."""
    values = {
        **alert.series._asdict(),
        **asdict(alert.figures),
        **{name: value for name, value in vars(alert).items() if name not in ("series", "figures", "id")},
        "evaluated_at": now,
    }
    # An operator may silence it meanwhile.
    values.pop("silenced_until")
    if alert.id is None:
        new_id = connection.execute(insert(stats_alerts).values(values).returning(stats_alerts.c.id))
        return replace(alert, id=new_id.scalar_one())
    connection.execute(update(stats_alerts).where(stats_alerts.c.id == alert.id).values(values))
    return alert


def _announced(
    connection: Connection, alerts: list[Alert], settings: Settings, now: dt.datetime
) -> tuple[list[Alert], int]:
    """The alerts, with those marked that people are told of; the message is kept in the same transaction."""
    channels = notifier.channels(settings)
    why = news(alerts, now) if channels else {}
    if not why:
        return alerts, 0
    alerts = [
        _written(connection, told(alert, now), now) if alert.series in why else alert for alert in alerts
    ]
    reasons = {alert.id: why[alert.series] for alert in alerts if alert.series in why}
    rows = [row for row in alert_rows(connection, recovered_days=1) if row["id"] in reasons]
    message = digest([(reasons[row["id"]], row) for row in rows], alerts[0].as_of)
    notifier.queue(connection, channels, message)
    return alerts, len(rows)


def _record(
    connection: Connection, as_of: dt.datetime, now: dt.datetime, tested: int, alerts: list[Alert]
) -> None:
    connection.execute(
        insert(stats_alert_evaluation).values(
            evaluated_at=now,
            as_of=as_of,
            tested_count=tested,
            raised_count=sum(alert.recovered_at is None for alert in alerts),
        )
    )
    connection.execute(
        delete(stats_alert_evaluation).where(stats_alert_evaluation.c.evaluated_at < now - EVALUATIONS_KEPT)
    )
