"""Computes the stats from one state of the lake, then compares and writes them in a short transaction.

The transaction takes its own watermark, and derives what the numbers contain from the log of that state.
Other runs that change the lake meanwhile can delay a number, but never falsify it. Progress is part of the
same commit: the watermark moves only past rows that the published numbers contain. Publishes take turns. If
the published stats change nevertheless, the new ones are computed again.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa
from adbc_driver_manager.dbapi import Connection as AdbcConnection
from sqlalchemy import Connection, Table, func, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert

from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.database.locks import Lock, lock_transaction
from pipeline.database.queries import query
from pipeline.days import ONE_DAY, DayRange
from pipeline.engines import rollups
from pipeline.errors import LakeConflictError
from pipeline.installation import Installation
from pipeline.lake import source
from pipeline.lake.partials import SCHEMA, USAGE, stale_days
from pipeline.lake.periods import State
from pipeline.lake.source_table import require_source
from pipeline.lake.usage_events import open_usage_events
from pipeline.publish.basis import Basis, read_basis, stats_version
from pipeline.publish.copy import changes_of, of_prompts, read_table, reading, write_changes
from pipeline.publish.guard import require_sums
from pipeline.publish.progress import take_progress
from pipeline.publish.users import UserStats, compute_users, write_users
from pipeline.publish.write_back import write_back
from pipeline.stats import frames
from pipeline.stats.changes import changed_rows
from pipeline.stats.drift import Drift, summary

logger = logging.getLogger(__name__)

WRITE_FAVORITE_COUNTS = text(query("publish/write_favorite_counts"))

ATTEMPTS = 3
"""How often the stats are computed at most while others, such as ``reconcile``, change the published ones."""

WINDOW = 2 * max(frames.WINDOWS) * ONE_DAY
"""The longest of the windows that end with today, and the one before it."""

RECENT = pa.schema([SCHEMA.field(name) for name in ("day", "prompt_id", "dimension", "usage_count")])
"""The columns that the windows are counted from."""


@dataclass
class PublishReport:
    """What a publish did: the row of ``stats_refresh`` without its id.

    ``rows_written``: by table, without ``prompts`` if it was left alone.
    ``stats``: the tables as they were published, ``prompt_daily_stats`` only of the days that changed; those
    by prompt are missing where only some prompts were computed.
    """

    high: int
    as_of: dt.datetime
    lag_seconds: float
    usage_count: int
    held_back_count: int
    pending_days: list[dt.date]
    user_stats_as_of: dt.datetime | None = None
    write_back_as_of: dt.datetime | None = None
    counter_drift: Drift | None = field(default=None, repr=False)
    rows_written: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stats: Mapping[str, pl.DataFrame] = field(default_factory=dict, repr=False)


def publish(
    installation: Installation,
    run_id: str | None = None,
    *,
    users: bool = True,
) -> PublishReport:
    """Recomputes the stats from the partials and writes what changed, in one transaction.

    ``users``: also publish the stats of users. Otherwise they stay as they are, and ``user_stats_as_of`` says
    so. If ``database.write_back`` is off, or if an app's own counters would be replaced before all days are
    counted, the counters in ``prompts`` stay as they are, and ``write_back_as_of`` says so.

    :raises DatabaseError: a column of ``prompts`` can't take its counter, or the raw table is not seen whole;
        nothing was written.
    :raises SettingsError: a setting is another one than the stats were made with; nothing was written.
    :raises LakeError: the lake can't be read, or does not hold what it should (``pipeline.publish.guard``);
        the published stats stay.
    """
    database, lake = installation.database, installation.lake
    seconds: dict[str, float] = {}
    with ExitStack() as turn:
        with _timed(seconds, "wait"):
            turn.enter_context(database.locked(Lock.STATS))
        for _ in range(ATTEMPTS):
            with TemporaryDirectory(prefix="prompt-stats-") as spool:
                with database.engine.connect() as connection:
                    basis = read_basis(connection, lake)
                computed = _compute(installation, basis, Path(spool), seconds, users=users)
                with database.engine.begin() as connection:
                    with _timed(seconds, "wait"):
                        lock_transaction(connection, Lock.PUBLISH)
                    if read_basis(connection, lake).equals(basis):
                        report = _write_all(connection, installation, computed, run_id, seconds)
                        break
            logger.info("the published stats changed meanwhile, so they are computed again")
        else:
            raise LakeConflictError(
                "Publishing the stats",
                f"other processes changed the published stats {ATTEMPTS} times meanwhile",
                "The stats stay as they were; run the command again",
            )
    figures = ("lag_seconds", "held_back_count", "pending_days", "rows_written", "seconds")
    logger.info(
        "published %d events as of %s",
        report.usage_count,
        report.as_of,
        extra={"run_id": run_id, **{name: getattr(report, name) for name in figures}},
    )
    if report.counter_drift:
        logger.warning("Write-back begins: %s", summary(report.counter_drift), extra={"run_id": run_id})
    return report


@dataclass(frozen=True)
class _Computed:
    """What is computed from one state of the lake before any lock is taken.

    ``held``: what the partials hold, day by day; ``raw``: the raw events of each day. ``unmade``: days whose
    partials are older than these. ``changed``: days whose partials are not those of the published stats;
    ``days``: their partials by prompt; ``counts``: the events that the partials have of each day.

    ``prompts``: those whose stats may differ; None: all may. ``totals``: their merged partials; ``overall``:
    those of all prompts together; ``recent``: what the periods that end before ``today`` are counted from.
    """

    basis: Basis
    state: State
    held: pl.DataFrame
    raw: dict[dt.date, int]
    unmade: list[dt.date]
    changed: list[dt.date]
    days: pl.DataFrame
    counts: dict[dt.date, int]
    today: dt.date
    prompts: pl.DataFrame | None
    totals: pl.DataFrame = field(default_factory=pl.DataFrame)
    overall: pl.DataFrame = field(default_factory=pl.DataFrame)
    recent: pl.DataFrame = field(default_factory=pl.DataFrame)
    users: UserStats | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the stats of all prompts were computed."""
        return self.prompts is None

    def merged(self, prompts: pl.DataFrame | None) -> _Computed:
        """The same with the stats of these prompts, or of all.

        :raises LakeError: the partials do not add up.
        """
        rows = self.state.scan()
        of_prompts = rows if prompts is None else rows.only(prompts.to_arrow())
        totals = rollups.run("merged_partials", partials=of_prompts)
        overall = totals if prompts is None else rollups.run("merged_values", partials=rows)
        require_sums(overall, self.counts, self.raw, self.unmade)
        return replace(self, prompts=prompts, totals=totals, overall=overall).of_day(self.today)

    def of_day(self, today: dt.date) -> _Computed:
        """The same with the periods that end before a day."""
        window = DayRange(today - WINDOW, today - ONE_DAY).days()
        rows = self.state.daily.scan(self.state.days.keys() & set(window), RECENT)
        if self.prompts is not None:
            rows = rows.only(self.prompts.to_arrow())
        return replace(self, today=today, recent=rollups.run("prompt_days", partials=rows))


def _compute(
    installation: Installation, basis: Basis, spool: Path, seconds: dict[str, float], *, users: bool
) -> _Computed:
    database, lake = installation.database, installation.lake
    with _timed(seconds, "merge"):
        state = State(lake, USAGE)
        events = open_usage_events(lake)
        changed = _changed_days(basis, state.ledger)
        days = _days_of_prompts(state, changed)
        computed = _Computed(
            basis,
            state,
            held=state.ledger,
            raw=dict(events.days().select("day", "usage_count").iter_rows()),
            unmade=stale_days(state.daily, events),
            changed=changed,
            days=days,
            counts=_counts(basis, days, changed),
            today=dt.datetime.now(dt.UTC).date(),
            prompts=pl.DataFrame(schema={"prompt_id": pl.String}),
        )
        if basis.today != computed.today or not basis.is_as_published:
            computed = computed.merged(None)
        elif changed:
            computed = computed.merged(_touched_prompts(database, basis, days, changed))
    if users:
        with _timed(seconds, "users"):
            computed = replace(computed, users=compute_users(installation, basis.user_days, spool))
    return computed


def _touched_prompts(
    database: Database, basis: Basis, days: pl.DataFrame, changed: Collection[dt.date]
) -> pl.DataFrame | None:
    """The prompts that have events on the days that changed, or had; None if they are most, or any may be."""
    if set(basis.days["day"]) <= set(changed):
        return None
    daily = tables.prompt_daily_stats
    with database.adbc("Reading the stats that are published") as reader:
        before = read_table(reader, daily, ["prompt_id"], daily.c.day.in_(changed))
        known = read_table(reader, tables.prompt_stats, ["prompt_id"])
    touched = pl.concat([days.select("prompt_id"), before]).unique().drop_nulls()
    return touched if touched.height < known.height / 2 else None


def _write_all(
    connection: Connection,
    installation: Installation,
    computed: _Computed,
    run_id: str | None,
    seconds: dict[str, float],
) -> PublishReport:
    """Compares with what is published, and writes; the watermark and the guard are of this transaction."""
    database, first_day = installation.database, installation.first_day
    with _timed(seconds, "progress"):
        raw_table = require_source(connection, database.names, first_day)
        snapshot = source.take_snapshot(connection)
        previous = source.latest_refresh(connection)
        progress = take_progress(
            connection, snapshot, computed.held, computed.unmade, first_day, raw_table.as_of_limit()
        )
    today = progress.as_of.astimezone(dt.UTC).date()
    if today != computed.today:
        # Only where the stats lag, or at midnight: the periods of all prompts end before another day.
        with _timed(seconds, "merge"):
            computed = (computed if computed.is_whole else computed.merged(None)).of_day(today)
    wanted = _wanted(computed) if computed.changed or computed.is_whole else {}
    report = PublishReport(
        high=progress.high,
        as_of=progress.as_of,
        lag_seconds=max((snapshot.taken_at - progress.as_of).total_seconds(), 0.0),
        usage_count=sum(computed.counts.values()),
        held_back_count=source.held_back_count(connection, snapshot),
        pending_days=progress.pending,
        user_stats_as_of=previous["user_stats_as_of"] if previous else None,
        write_back_as_of=previous["write_back_as_of"] if previous else None,
        rows_written={table.name: 0 for table in tables.STATS_TABLES},
        seconds=seconds,
    )
    with _timed(seconds, "write"):
        if wanted:
            with reading(database, connection, tables.STATS_TABLES) as reader:
                for table in tables.STATS_TABLES:
                    report.rows_written[table.name] = _write(
                        reader, connection, table, wanted, computed, progress.as_of
                    )
            _write_days(connection, computed)
        favorites = connection.execute(WRITE_FAVORITE_COUNTS, {"as_of": progress.as_of}).scalar_one()
        report.rows_written["prompt_stats"] += favorites
    report.stats = {
        name: rows for name, rows in wanted.items() if computed.is_whole or "prompt_id" not in rows.columns
    }
    if computed.users:
        with _timed(seconds, "users"):
            published = write_users(connection, computed.users, computed.held, progress.as_of)
        report.rows_written[tables.user_prompt_stats.name] = published.rows
        report.rows_written["prompt_stats"] += published.prompts
        report.user_stats_as_of = published.as_of or report.user_stats_as_of
    if database.write_back:
        # Last, since writers of these rows wait from here to the end.
        with _timed(seconds, "write_back"):
            begins = not (previous and previous["is_written_back"])
            counters = write_back(
                connection, database.names, progress.as_of, begins=begins, is_whole=not progress.pending
            )
        if counters:
            report.rows_written["prompts"] = counters.written
            report.counter_drift = counters.drift
            if counters.written == counters.wanted:
                report.write_back_as_of = progress.as_of
    connection.execute(
        insert(tables.stats_refresh).values(
            high=progress.high,
            next_xid=snapshot.next_xid,
            as_of=progress.as_of,
            started_at=snapshot.taken_at,
            published_at=func.clock_timestamp(),
            open_until=progress.open_until,
            usage_count=report.usage_count,
            held_back_count=report.held_back_count,
            pending_days=[day.isoformat() for day in progress.pending],
            rows_written=report.rows_written,
            seconds={name: round(value, 4) for name, value in seconds.items()},
            run_id=run_id,
            user_stats_as_of=report.user_stats_as_of,
            # Counted apart, by pipeline.publish.values.
            value_stats_as_of=previous["value_stats_as_of"] if previous else None,
            value_stats_version=previous["value_stats_version"] if previous else None,
            stats_version=stats_version(connection),
            write_back_as_of=report.write_back_as_of,
            counter_drift=report.counter_drift,
        )
    )
    return report


def _days_of_prompts(state: State, days: Collection[dt.date]) -> pl.DataFrame:
    """The partials by day and prompt of those of the days that have any."""
    return rollups.run("prompt_days", partials=state.daily.scan(state.days.keys() & set(days)))


def _counts(basis: Basis, days: pl.DataFrame, changed: Collection[dt.date]) -> dict[dt.date, int]:
    """The events of each day: of ``days``, the partials of those that changed, and as published."""
    published = basis.days.select("day", "usage_count").iter_rows()
    return {day: count for day, count in published if day not in changed} | dict(
        days.group_by("day").agg(pl.col("usage_count").sum()).iter_rows()
    )


def _wanted(computed: _Computed) -> dict[str, pl.DataFrame]:
    """The tables by name, without ``stats_as_of``, but for ``prompt_stats``: it needs what is published.

    Of ``prompt_daily_stats`` the days that changed, of others by prompt those that were computed.
    """
    values = ("scene", "environment", "outfit")
    return {
        **{f"prompt_{name}_stats": frames.value_stats(computed.totals, name) for name in values},
        **{f"{name}_stats": frames.overall_stats(computed.overall, name) for name in values},
        "prompt_daily_stats": frames.prompt_daily_stats(computed.days),
        "prompt_error_stats": frames.prompt_error_stats(computed.totals),
    }


def _changed_days(basis: Basis, held: pl.DataFrame) -> list[dt.date]:
    """The days whose partials differ from those that the published stats were made from."""
    published = basis.days.select("day", "events_version")
    now = held.select("day", "events_version")
    changes = changed_rows(published, now, ["day"])
    return sorted({*changes.gone["day"], *changes.rows["day"]})


def _write(
    reader: AdbcConnection,
    connection: Connection,
    table: Table,
    wanted: dict[str, pl.DataFrame],
    computed: _Computed,
    as_of: dt.datetime,
) -> int:
    where = None
    if table is tables.prompt_daily_stats:
        # As large as the history: only the days whose partials changed are looked at.
        if not computed.changed:
            return 0
        where = table.c.day.in_(computed.changed)
    elif computed.prompts is not None and "prompt_id" in table.c:
        where = of_prompts(table, computed.prompts)
    published = read_table(reader, table, [c.name for c in table.c if c.name != "stats_as_of"], where)
    if computed.prompts is not None and "prompt_id" in table.c and table is not tables.prompt_daily_stats:
        published = published.join(computed.prompts, on="prompt_id", how="semi")
    if table is tables.prompt_stats:
        # Not from the lake: what is counted here, the users at their pace. Prompts without events stay.
        kept = published.select("prompt_id", "favorite_count", "unique_users")
        wanted[table.name] = (
            frames.prompt_stats(computed.totals, computed.recent, kept.drop("unique_users"), computed.today)
            .join(kept.drop("favorite_count"), on="prompt_id", how="left")
            .with_columns(pl.col("unique_users").fill_null(0))
        )
    changes = changes_of(table, published, wanted[table.name])
    if "stats_as_of" in table.c:
        changes = changes._replace(rows=changes.rows.with_columns(stats_as_of=pl.lit(as_of)))
    return write_changes(connection, table, changes)


def _write_days(connection: Connection, computed: _Computed) -> None:
    counts = computed.days.group_by("day").agg(pl.col("usage_count").sum())
    rows = (
        computed.held.drop("usage_count")
        .filter(pl.col("day").is_in(computed.changed))
        .join(counts, on="day")
        .select("day", "usage_count", ingest_xid="mark", events_version="events_version")
    )
    table = tables.stats_day
    gone = set(computed.changed) - set(rows["day"])
    if gone:
        connection.execute(table.delete().where(table.c.day.in_(gone)))
    if rows.height:
        statement = upsert(table).values(rows.to_dicts())
        others = {column.name: statement.excluded[column.name] for column in table.c if column.name != "day"}
        connection.execute(statement.on_conflict_do_update(index_elements=["day"], set_=others))


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - start
