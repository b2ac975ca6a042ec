"""Answers questions about the published stats: status, rankings, one prompt.

Answers are plain dictionaries with the column names of the queries, ready for a table or for JSON. Each
answer has ``as_of`` and ``lag_seconds``, which are None before the first publish.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select, text

from pipeline.alerts.messages import sentence
from pipeline.alerts.raised import alert_rows
from pipeline.answers.comparison import (
    COMPARED_USES,
    Asked,
    compared_answer,
    period,
    today_of,
    uses_in_lake,
    windows,
    with_standings,
)
from pipeline.database.connections import Database
from pipeline.database.prompt_keys import id_of
from pipeline.database.queries import query
from pipeline.days import ONE_DAY, UTC, DayRange
from pipeline.errors import InputError, LakeError, NotFoundError
from pipeline.installation import Installation
from pipeline.lake import source
from pipeline.limits import PARTIALS_MAX_DAYS

if TYPE_CHECKING:
    from pipeline.lake.period_stats import PeriodStats

ACTIVE_PROMPTS = text(query("answers/active_prompts"))
PUBLISHED_DAYS = query("answers/published_days")
TOP_PROMPTS = text(query("answers/top_prompts"))
PROMPT = text(query("answers/prompt"))
PROMPT_SCENES = text(query("answers/prompt_scenes"))
PROMPT_DAYS = text(query("answers/prompt_days"))
PROMPT_KEYS = text(query("answers/prompt_keys"))
OPEN_TRANSACTIONS = text(query("operations/open_transactions"))
LATEST_EVALUATION = text(query("answers/latest_evaluation"))
WAITING_COUNTS = text(query("answers/waiting_counts"))
LATEST_COUNTER_DRIFT = text(query("answers/latest_counter_drift"))
PROMPT_NAMES = text(query("answers/prompt_names"))

LONGEST_RANKING = 1_000
OF_PERIOD = (
    "usage_count",
    "success_count",
    "failure_count",
    "success_rate",
    "success_rate_lower",
    "avg_generation_time_ms",
    "p50_generation_time_ms",
    "p95_generation_time_ms",
    "p99_generation_time_ms",
    "first_used_at",
    "last_used_at",
)
"""What the lake has of a prompt in some days, named as ``answers/prompt`` names it."""

OF_SCENE = (
    "scene",
    "usage_count",
    "success_count",
    "failure_count",
    "success_rate",
    "avg_generation_time_ms",
    "last_used_at",
)
DAYS_SHOWN = 14

Answer = dict[str, Any]


def status(installation: Installation) -> Answer:
    """How fresh and how complete the stats are.

    ``usage_count``: events counted. ``stale_days``: days that the next refresh will look at.
    ``pending_days``: days that the last refresh could not complete. ``held_back_count``: events dated more
    than a day ahead. ``rejected_count``: rejected events. ``user_stats_as_of``: the ``as_of`` of the stats of
    users; ``value_stats_as_of``: that of the stats by value, which are counted once per day;
    ``write_back_as_of``: that of the counters in ``prompts``. ``write_back``: ``on``, ``off``, or ``waiting``
    for the pending days, in the last refresh; None before the first.
    ``expired_day_count``: days that only the lake has; ``dropped_day_count``: those whose rows were dropped
    with a partition; ``dropped_partitions``: ``keep`` or ``count-down``, the effect of that on the numbers.
    ``damaged_days``: days of which a file of the lake is
    damaged, or that it no longer has in full; ``damage``: of which table each is, why, and what helps.
    ``unusable_count``: events with an unusable generation time; None if a file can't be read.
    ``unusable_examples``: the ids of some of them.
    ``oldest_writer``: what holds ``as_of``
    back, the transaction that has written something and is open for longest; its ``open_seconds`` are None
    where the role may not see them.
    """
    database = installation.database
    # The lake's libraries take a second to import; the other questions need only Postgres.
    from pipeline.lake.partials import USAGE
    from pipeline.lake.upkeep import damage_of
    from pipeline.lake.usage_events import TABLE, unusable_values
    from pipeline.refresh import plan_refresh

    plan = plan_refresh(installation)
    with database.engine.connect() as connection:
        damage = damage_of(installation.lake, source.expired_days(connection))
        latest = source.latest_refresh(connection) or {}
        waiting = connection.execute(WAITING_COUNTS).mappings().one()
        held_back = source.held_back_count(connection, plan.snapshot)
        writer = connection.execute(OPEN_TRANSACTIONS).mappings().first()
    try:
        unusable_count, unusable_examples = unusable_values(installation.lake)
    except LakeError:
        # Which file it is says the check; the other answers stand.
        unusable_count, unusable_examples = None, []
    return {
        **_freshness(latest),
        "user_stats_as_of": latest.get("user_stats_as_of"),
        "value_stats_as_of": latest.get("value_stats_as_of"),
        "write_back": _write_back(latest, is_wanted=database.write_back) if latest else None,
        "write_back_as_of": latest.get("write_back_as_of"),
        "published_at": latest.get("published_at"),
        "high": latest.get("high"),
        "usage_count": latest.get("usage_count", 0),
        "stale_days": plan.days,
        "pending_days": latest.get("pending_days", []),
        "held_back_count": held_back,
        "unusable_count": unusable_count,
        "unusable_examples": unusable_examples,
        "oldest_writer": _writer(dict(writer)) if writer else None,
        **waiting,
        "dropped_partitions": "count-down" if database.counts_down else "keep",
        "damaged_days": sorted({each.day for each in damage if each.table in (TABLE, USAGE.daily)}),
        "damage": [each._asdict() for each in damage],
    }


def top_prompts(installation: Installation, limit: int, asked: Asked | None = None) -> Answer:
    """The most used active prompts, in ``prompts``. Newer prompts appear with the next refresh.

    ``asked``: a range of days to count. Then ``from``, ``to`` and ``timezone`` give the range, and prompts
    that were not used in it are left out.

    :raises InputError: ``limit`` is not between 1 and 1,000, or there are no such days, or too many.
    """
    if not 1 <= limit <= LONGEST_RANKING:
        raise InputError(
            "Ranking the prompts", f"the limit is {limit}", f"Choose one from 1 to {LONGEST_RANKING}"
        )
    with installation.database.engine.connect() as connection:
        latest = source.latest_refresh(connection)
        if asked:
            days, stats = stats_asked_for(connection, installation.lake, latest, asked)
            used = {row["prompt_id"]: row for row in stats.prompts().iter_rows(named=True)}
            named = _rows(connection, ACTIVE_PROMPTS, {"prompts": list(used)})
            found = [{**each, **{name: used[each["id"]][name] for name in OF_PERIOD}} for each in named]
            found.sort(key=lambda each: (-each["usage_count"], -each["success_count"], each["id"]))
            return {**_freshness(latest), **days, "prompts": found[:limit]}
        return {**_freshness(latest), "prompts": _rows(connection, TOP_PROMPTS, {"limit": limit})}


def prompt(installation: Installation, key: str, asked: Asked | None = None) -> Answer:
    """One prompt by id, slug or unique name: its stats, ``scenes``, and the last 14 ``days``.

    ``asked``: a range of days to count. Then all numbers except ``favorite_count`` are those of the range,
    and ``from``, ``to`` and ``timezone`` give it.

    :raises NotFoundError: there is no such prompt; the text suggests one that is spelt alike.
    :raises AmbiguousError: it is the slug or the name of several; the text lists their ids.
    """
    with installation.database.engine.connect() as connection:
        latest = source.latest_refresh(connection)
        prompt_id = _id_of(connection, key)
        found = connection.execute(PROMPT, {"prompt_id": prompt_id}).mappings().one()
        if asked:
            days, stats = stats_asked_for(connection, installation.lake, latest, asked)
            return {**_freshness(latest), **days, **_of_period(dict(found), stats, str(prompt_id))}
        return {
            **_freshness(latest),
            **found,
            "scenes": with_standings(_rows(connection, PROMPT_SCENES, {"prompt_id": prompt_id})),
            "days": _rows(connection, PROMPT_DAYS, {**_last_days(latest), "prompt_id": prompt_id}),
        }


def compare(installation: Installation, keys: Sequence[str], asked: Asked) -> Answer:
    """Whether prompts differ in their success rate, or one of them before and after a date.

    ``prompts``: each with its days, counts and rate; ``differences``: those after the first from the first,
    each with its interval and a ``verdict``.

    :raises NotFoundError: there is no such prompt; the text suggests one that is spelt alike.
    :raises InputError: there are too few or too many prompts or days.
    """
    with installation.database.engine.connect() as connection:
        latest = source.latest_refresh(connection) or {}
        prompt_ids = [_id_of(connection, key) for key in keys]
        compared = windows(prompt_ids, asked, today_of(latest.get("as_of"), asked.timezone))
        rows = [
            dict(connection.exec_driver_sql(COMPARED_USES, each.parameters()).mappings().one())
            for each in compared
        ]
        if asked.timezone != UTC:
            for row, each in zip(rows, compared, strict=True):
                stats = _stats_of(connection, installation.lake, each.days, asked.timezone)
                row.update(uses_in_lake(stats, each.prompt_id))
    return {**_freshness(latest), **compared_answer(compared, rows, asked.timezone)}


def drift(database: Database) -> Answer:
    """By how much the counters in ``prompts`` differ from the events, or did before the write-back.

    ``counter_drift``: a report as ``pipeline.stats.drift`` has it, with a ``name`` for each prompt; None
    where nobody kept counters, or nothing was published yet. ``compared_at``: when they were compared: now,
    or at the publish ``refresh_id``.
    """
    with database.engine.connect() as connection:
        latest = source.latest_refresh(connection)
        if latest and not latest["is_written_back"]:
            return _named(connection, _drift_now(connection, latest))
    nothing = dict.fromkeys(("refresh_id", "as_of", "compared_at", "counter_drift"))
    return taken_over(database) or nothing


def taken_over(database: Database, since: int = 0) -> Answer | None:
    """As :func:`drift`, of the last publish after ``since`` that took over counters which an app had kept."""
    with database.engine.connect() as connection:
        found = connection.execute(LATEST_COUNTER_DRIFT, {"since": since}).mappings().one_or_none()
        return _named(connection, dict(found)) if found else None


def _named(connection: Connection, found: Answer) -> Answer:
    prompts = found["counter_drift"]["prompts"] if found["counter_drift"] else []
    ids = {"prompts": [each["prompt_id"] for each in prompts]}
    names = {row.prompt_id: row.name for row in connection.execute(PROMPT_NAMES, ids)}
    for each in prompts:
        each["name"] = names.get(each["prompt_id"])
    return found


def _drift_now(connection: Connection, latest: Mapping[str, Any]) -> Answer:
    # polars takes a moment to import.
    from pipeline.publish.write_back import drift_now

    return {
        "refresh_id": None,
        "as_of": latest["as_of"],
        "compared_at": connection.execute(select(func.now())).scalar_one(),
        "counter_drift": drift_now(connection),
    }


def alerts(database: Database, days: int) -> Answer:
    """Raised alerts, and those that recovered in the last ``days`` days, in ``alerts``, each with a ``text``.

    ``evaluated_at``: when alerts were last evaluated, or None if never. ``damaged_days``: expired days that
    the lake no longer has completely. Alerts are evaluated without days that can't be read.
    """
    with database.engine.connect() as connection:
        return {
            "damaged_days": connection.execute(WAITING_COUNTS).one().damaged_days,
            **_freshness(source.latest_refresh(connection)),
            "evaluated_at": connection.execute(LATEST_EVALUATION).scalar_one_or_none(),
            "alerts": [{**row, "text": sentence(row)} for row in alert_rows(connection, days)],
        }


def _write_back(latest: Mapping[str, Any], *, is_wanted: bool) -> str:
    if latest["is_written_back"]:
        return "on"
    return "waiting" if is_wanted and latest["pending_days"] else "off"


def _writer(row: Mapping[str, Any]) -> Answer:
    open_for = row["open_for"]
    return {
        **{name: row[name] for name in ("pid", "role", "database", "application_name", "state")},
        "open_seconds": open_for.total_seconds() if open_for is not None else None,
    }


def _freshness(latest: Mapping[str, Any] | None) -> Answer:
    latest = latest or {}
    return {"as_of": latest.get("as_of"), "lag_seconds": latest.get("lag_seconds")}


def _last_days(latest: Mapping[str, Any] | None) -> dict[str, dt.date]:
    end = latest["as_of"] if latest else dt.datetime.now(dt.UTC)
    last = end.astimezone(dt.UTC).date()
    return {"from_day": last - (DAYS_SHOWN - 1) * ONE_DAY, "to_day": last}


def _rows(connection: Connection, statement: Any, values: Mapping[str, Any]) -> list[Answer]:
    return [dict(row) for row in connection.execute(statement, values).mappings()]


def _of_period(head: Answer, stats: PeriodStats, prompt_id: str) -> Answer:
    """What ``answers/prompt`` has of a prompt, with the numbers of some days instead of all time."""
    rows = stats.prompts(prompt_id).to_dicts()
    used = rows[0] if rows else dict.fromkeys(OF_PERIOD)
    counts = dict.fromkeys(("usage_count", "success_count", "failure_count"), 0)
    by_day = {
        row["period"]: {name: row[name] for name in counts}
        for row in stats.series(prompt_id, "prompt", "day", 1).iter_rows(named=True)
    }
    kept = {name: head[name] for name in ("id", "slug", "name", "category", "is_active", "favorite_count")}
    return {
        **kept,
        **{name: used[name] if used[name] is not None else counts.get(name) for name in OF_PERIOD},
        "unique_users": stats.unique_users(prompt_id),
        "scenes": with_standings(stats.values(prompt_id, "scene").select(OF_SCENE).to_dicts()),
        "days": [{"day": day, **counts, **by_day.get(day, {})} for day in stats.period.days.days()],
    }


def stats_asked_for(
    connection: Connection, lake: str, latest: Mapping[str, Any] | None, asked: Asked
) -> tuple[Answer, PeriodStats]:
    """What an answer says of its days, and the stats of them."""
    days = period(asked, today_of((latest or {}).get("as_of"), asked.timezone), PARTIALS_MAX_DAYS)
    said = {"from": days.first, "to": days.last, "timezone": asked.timezone}
    return said, _stats_of(connection, lake, days, asked.timezone)


def _stats_of(connection: Connection, lake: str, days: DayRange, timezone: str) -> PeriodStats:
    # The lake's libraries take a second to import.
    from pipeline.lake.period_stats import Period, PeriodStats

    wanted = Period(days, timezone)
    touched = {"from_day": wanted.touched.first, "to_day": wanted.touched.last}
    rows = connection.exec_driver_sql(PUBLISHED_DAYS, touched)
    return PeriodStats(lake, wanted, {row.day: row.events_version for row in rows})


def _id_of(connection: Connection, key: str) -> Any:
    try:
        # As the API has it: with the parameters of psycopg.
        return id_of(connection.exec_driver_sql, key)
    except NotFoundError as error:
        raise _with_a_hint(connection, key, error) from None


def _with_a_hint(connection: Connection, key: str, error: NotFoundError) -> NotFoundError:
    alike = difflib.get_close_matches(key, connection.execute(PROMPT_KEYS).scalars(), n=1)
    return NotFoundError(error.attempted, error.wrong, f"Did you mean {alike[0]}") if alike else error
