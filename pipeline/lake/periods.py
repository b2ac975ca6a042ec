"""Partials of longer periods, so that a publish does not merge every day of the past.

``<rollup>_monthly`` has one partition per month with its quiet days merged, up to ``covered_until``.
``<rollup>_total`` has one partition with all completely covered months merged. Days are partials by day, or
raw events that count as one partial each. ``events_version`` is a fingerprint of the days or months that a
period was merged from. A period is not used if its fingerprint differs from that of the present days, or if
one of its files is missing or was cut off. Its days are then merged themselves. So periods make a publish
faster, and can't make it wrong.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from pipeline.database.locks import Lock
from pipeline.days import ONE_DAY
from pipeline.engines.scan import Scan
from pipeline.installation import Installation
from pipeline.lake import damage, source
from pipeline.lake.delta_table import DailyTable, fingerprint
from pipeline.lake.merge import merge_alike, merging
from pipeline.lake.partials import ROWS_PER_GROUP, SCHEMA, DailyRollup, Rollup, made_from, open_partials
from pipeline.lake.usage_events import open_usage_events

logger = logging.getLogger(__name__)

QUIET_AFTER = 3 * ONE_DAY
"""A day's partials change often until this long after it began, since late events are mostly hours late."""

UNSETTLED_EVENTS = 5_000_000
"""Raw events of quiet days that are read as they are, at most, where a rollup has no partials by day: a user
who leaves changes many months, and to make one anew takes as long as to read it many times."""

PERIOD_SCHEMA = SCHEMA.append(pa.field("covered_until", pa.date32()))
"""As :data:`pipeline.lake.partials.SCHEMA`; ``day`` is the first of the period."""

ALL_MONTHS = dt.date(1970, 1, 1)
"""The only partition of the total."""

Versions = dict[dt.date, int]


def month_of(day: dt.date) -> dt.date:
    """The first day of the day's month."""
    return day.replace(day=1)


def month_end(month: dt.date) -> dt.date:
    """The last day of the month that begins with ``month``."""
    return (month + 31 * ONE_DAY).replace(day=1) - ONE_DAY


class _Covered(NamedTuple):
    """A merged period: up to which day it goes, and what it was made from."""

    until: dt.date
    version: int


def open_periods(lake: str, rollup: Rollup) -> tuple[DailyTable, DailyTable]:
    """Opens the latest states of the tables by month and in total."""
    return (
        DailyTable(lake, rollup.monthly, PERIOD_SCHEMA, ROWS_PER_GROUP, is_derived=True),
        DailyTable(lake, rollup.total, PERIOD_SCHEMA, ROWS_PER_GROUP, is_derived=True),
    )


class State:
    """A consistent state of a rollup's tables, with the periods that may be used.

    ``daily`` is its table by day, or that of the raw events if it has none. ``ledger`` is the answer of its
    ``DailyTable.days``, with the ``events_version`` of partials made from it.
    """

    def __init__(self, lake: str, rollup: Rollup) -> None:
        """Opens the latest states of the tables. Periods that do not fit are not used."""
        self.view = None if isinstance(rollup, DailyRollup) else rollup.query
        if self.view:
            self.daily = open_usage_events(lake)
            self.ledger = self.daily.days().with_columns(made_from(rollup))
        else:
            self.daily = open_partials(lake)
            self.ledger = self.daily.days()
        self.monthly, self.total = open_periods(lake, rollup)
        broken = self.monthly.faults()
        self.days: Versions = dict(self.ledger.select("day", "events_version").iter_rows())
        self.months = {
            month: covered
            for month, covered in _covered(self.monthly).items()
            if covered.version == _made_from(self.days_of(month, covered.until)) and month not in broken
        }
        held = None if self.total.faults() else _covered(self.total).get(ALL_MONTHS)
        self.whole = held if held and held.version == _made_from(self.months_until(held.until)) else None

    def days_of(self, month: dt.date, until: dt.date) -> Versions:
        """The days of a month that have partials, up to ``until``."""
        return {
            day: version
            for day, version in self.days.items()
            if month <= day <= until and month_of(day) == month
        }

    def months_until(self, until: dt.date) -> Versions:
        """The months with partials that end by ``until``, each with the fingerprint of all its days."""
        ended = {month_of(day) for day in self.days if month_end(month_of(day)) <= until}
        return {month: _made_from(self.days_of(month, month_end(month))) for month in ended}

    def scan(self) -> Scan:
        """Rows that give the total of all days when they are merged. They contain each day once."""
        rows = Scan(SCHEMA)
        if self.whole:
            rows += self.total.scan(columns=SCHEMA)
        return rows + self.monthly.scan(self._used_months(), columns=SCHEMA) + self.scan_days(self.uncovered)

    def scan_days(self, days: Collection[dt.date]) -> Scan:
        """Rows that give the total of some days when they are merged."""
        rows = self.daily.scan(days)
        return rows.through(self.view, SCHEMA) if self.view else rows

    def lacks(self, days: Collection[dt.date]) -> set[dt.date]:
        """The given days that no used period covers."""
        return set(days) - (self.days.keys() - self.uncovered)

    @property
    def uncovered(self) -> set[dt.date]:
        """The days that no used period covers."""
        after = self.whole.until if self.whole else dt.date.min
        used = self._used_months()
        return {day for day in self.days if day > max(after, used.get(month_of(day), after))}

    def row_count(self, days: Collection[dt.date]) -> int:
        """The number of rows of some days in the table by day."""
        return int(self.ledger.filter(pl.col("day").is_in(days))["usage_count"].sum())

    def _used_months(self) -> dict[dt.date, dt.date]:
        after = self.whole.until if self.whole else dt.date.min
        return {month: covered.until for month, covered in self.months.items() if month > after}

    def wrong_months(self, months: Collection[dt.date]) -> list[dt.date]:
        """The used months that differ from their merged days.

        :raises LakeError: a file can't be read.
        """
        days = {month: self.days_of(month, self.months[month].until) for month in months}
        return [
            month
            for month in months
            if not merge_alike(self.scan_days(days[month]), self.monthly.scan([month], columns=SCHEMA))
        ]

    def is_total_wrong(self) -> bool:
        """Whether the total is used and differs from its merged months.

        :raises LakeError: a file can't be read.
        """
        return self.whole is not None and not merge_alike(
            self.monthly.scan(self.months_until(self.whole.until), columns=SCHEMA),
            self.total.scan(columns=SCHEMA),
        )


def settle(installation: Installation, rollup: Rollup, today: dt.date | None = None) -> list[dt.date]:
    """Brings the longer periods up to date with the quiet days, and returns the recomputed months.

    A month that only grew is merged with its new days. A month with changed days is merged from all its days.
    Months that are made from raw events wait until there is much to merge (:data:`UNSETTLED_EVENTS`), or
    until a day expires, since they are a second copy of it. A month that needs a lost day
    (``pipeline.lake.damage``) waits for that day.

    :raises LakeConflictError: somebody wrote to the lake meanwhile; what was committed is complete.
    """
    database = installation.database
    quiet_until = (today or dt.datetime.now(dt.UTC).date()) - QUIET_AFTER
    with database.locked(Lock.LAKE):
        state = State(installation.lake, rollup)
        quiet = {day for day in state.days if day <= quiet_until}
        lost = set[dt.date]()
        if state.view:
            lost = set(damage.note_lost_days(database, state.daily))
            with database.engine.connect() as connection:
                expired = source.expired_days(connection)
            is_little = state.row_count(state.uncovered & quiet) <= UNSETTLED_EVENTS
            if is_little and not state.uncovered & expired.keys():
                quiet = set()
        wanted = {month_of(day): min(month_end(month_of(day)), quiet_until) for day in quiet}
        recomputed = []
        for month, until in sorted(wanted.items()):
            held = state.months.get(month)
            done = state.days_of(month, held.until) if held else {}
            new = state.days_of(month, until).keys() - done.keys()
            if not new or month in map(month_of, lost - done.keys()):
                continue
            rows = state.monthly.scan([month] if held else [], columns=SCHEMA) + state.scan_days(new)
            _write(state.monthly, month, rows, _Covered(until, _made_from(state.days_of(month, until))))
            recomputed.append(month)
            logger.info("%s: %s is covered up to %s", rollup.monthly, month, until)
        # What is not used may hold a person who was erased.
        _empty(state.monthly, _covered(state.monthly).keys() - set(recomputed) - state.months.keys())
        _settle_total(State(installation.lake, rollup) if recomputed else state, quiet_until)
    return recomputed


def _settle_total(state: State, quiet_until: dt.date) -> None:
    held = state.whole
    done = state.months_until(held.until) if held else {}
    months = state.months_until(quiet_until)
    waiting = [m for m in months if m not in state.months or state.months[m].until < month_end(m)]
    months = {
        month: version for month, version in months.items() if month < min(waiting, default=dt.date.max)
    }
    new = months.keys() - done.keys()
    if not new:
        if not held:
            _empty(state.total, _covered(state.total).keys())
        return
    before = state.total.scan([ALL_MONTHS] if held else [], columns=SCHEMA)
    rows = before + state.monthly.scan(new, columns=SCHEMA)
    _write(state.total, ALL_MONTHS, rows, _Covered(month_end(max(months)), _made_from(months)))


def _write(table: DailyTable, period: dt.date, partials: Scan, covered: _Covered) -> None:
    same = {
        "events_version": pa.scalar(covered.version, pa.int64()),
        "day": pa.scalar(period, pa.date32()),
        "covered_until": pa.scalar(covered.until, pa.date32()),
    }

    def of_period(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [
            pa.repeat(same[name], batch.num_rows) if name in same else batch[name].cast(kind)
            for name, kind in zip(PERIOD_SCHEMA.names, PERIOD_SCHEMA.types, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=PERIOD_SCHEMA)

    batches = map(of_period, merging(partials, "dimension", "prompt_id"))
    table.replace([period], pa.RecordBatchReader.from_batches(PERIOD_SCHEMA, batches))


def _empty(table: DailyTable, periods: Collection[dt.date]) -> None:
    if periods:
        table.replace(periods, PERIOD_SCHEMA.empty_table())


def _covered(table: DailyTable) -> dict[dt.date, _Covered]:
    rows = table.days().select("day", "covered_until", "events_version").iter_rows()
    return {day: _Covered(until, version) for day, until, version in rows}


def _made_from(parts: Versions) -> int:
    return fingerprint(f"{day} {version}" for day, version in sorted(parts.items()))
