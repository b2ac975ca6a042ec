"""What comes out adds up to what went in, or else it is not written and not published."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import text

from pipeline.database.connections import Database
from pipeline.engines import duckdb_engine
from pipeline.errors import LakeError
from pipeline.lake import merge, partials, source
from pipeline.lake.merge import merge_alike, merging
from pipeline.lake.partials import USAGE, USERS, Rollup, open_partials, roll_up_days, stale_days
from pipeline.lake.periods import open_periods, settle
from pipeline.lake.usage_events import open_usage_events, sync_days
from pipeline.publish.publish import publish
from pipeline.refresh import refresh
from tests.app import at

DAYS = [dt.date(2026, 1, day) for day in range(1, 11)]
ADD = text(
    "INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, created_at)"
    " SELECT md5('prompt ' || i % 7)::uuid, md5('user ' || i % 11)::uuid, 'scene ' || i % 3, i % 5 > 0, i,"
    " date '2026-01-01' + i % 10 + time '12:00' FROM generate_series(1, 1000) AS i"
)
Change = Callable[[pl.DataFrame], pl.DataFrame]


def change_what_is_computed(monkeypatch: pytest.MonkeyPatch, name: str, change: Change) -> None:
    """As if the engine had made something else of the query of that name."""
    table, stream = duckdb_engine.table, duckdb_engine.stream

    def changed_table(query: str, *arguments: Any, **inputs: Any) -> pa.Table:
        rows = table(query, *arguments, **inputs)
        return change(pl.DataFrame(rows)).to_arrow() if query == name else rows

    @contextmanager
    def changed_stream(query: str, order: Any, **inputs: Any) -> Iterator[pa.RecordBatchReader]:
        with stream(query, order, **inputs) as rows:
            yield change(pl.DataFrame(rows.read_all())).to_arrow().to_reader() if query == name else rows

    monkeypatch.setattr(duckdb_engine, "table", changed_table)
    monkeypatch.setattr(duckdb_engine, "stream", changed_stream)


@pytest.fixture
def lake(tmp_path: Path, database: Database) -> str:
    """A lake that holds a thousand events of ten days, and nothing else."""
    with database.engine.begin() as connection:
        connection.execute(ADD)
    sync_days(at(database, str(tmp_path)), DAYS)
    return str(tmp_path)


@pytest.mark.parametrize(
    "lose",
    [
        pytest.param(lambda rows: rows.filter(pl.col("dimension") != "outfit"), id="a dimension"),
        pytest.param(lambda rows: rows.remove(rows["usage_count"].cum_count() == 1), id="a row"),
        pytest.param(lambda rows: pl.concat([rows, rows.head(1)]), id="a row twice"),
    ],
)
def test_a_rollup_that_does_not_add_up_is_not_written(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch, lose: Change
) -> None:
    with monkeypatch.context() as patch:
        change_what_is_computed(patch, USAGE.query, lose)
        report = roll_up_days(at(database, lake))

    assert sorted(report.failed) == DAYS
    assert "of 100" in report.failed[DAYS[0]]
    assert open_partials(lake).days().is_empty()
    assert roll_up_days(at(database, lake)).days == DAYS
    assert not stale_days(open_partials(lake), open_usage_events(lake))


@pytest.mark.parametrize("rollup", [USAGE, USERS], ids=["usage", "users"])
def test_a_merge_that_loses_a_row_is_not_written(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch, rollup: Rollup
) -> None:
    roll_up_days(at(database, lake))
    change_what_is_computed(monkeypatch, "merged_partials", lambda rows: rows[1:])

    with pytest.raises(LakeError, match="went in"):
        settle(at(database, lake), rollup)
    monthly, total = open_periods(lake, rollup)
    assert monthly.days().is_empty()
    assert total.days().is_empty()


@pytest.mark.parametrize(
    "column",
    ["usage_count", "success_count", "failure_count", "timed_count", "generation_time_ms_sum"],
)
def test_totals_of_unequal_dimensions_are_not_published(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    # As if a file of partials had changed on its way through storage.
    more = pl.col(column) + (pl.col("dimension") == "outfit")
    with monkeypatch.context() as patch:
        patch.setattr(partials, "check_days", lambda *_: None)
        change_what_is_computed(patch, USAGE.query, lambda rows: rows.with_columns(more))
        roll_up_days(at(database, lake))

    with pytest.raises(LakeError, match=f"the dimensions have different sums of {column}:"):
        publish(at(database, lake))
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stats_refresh")) == 0


def test_events_that_did_not_arrive_are_read_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with database.engine.begin() as connection:
        connection.execute(ADD)
    usage_events = source.usage_events

    @contextmanager
    def one_row_less(*arguments: Any, **options: Any) -> Iterator[pa.RecordBatchReader]:
        with usage_events(*arguments, **options) as reader:
            rows = reader.read_all()
            yield rows.slice(0, rows.num_rows - 1).to_reader()

    with monkeypatch.context() as patch:
        patch.setattr(source, "usage_events", one_row_less)
        sync_days(at(database, str(tmp_path)), DAYS)

    assert "99 of 100 events of 2026-01-" in caplog.text
    report = refresh(at(database, str(tmp_path)))
    assert report.usage_count == 1000


@pytest.mark.parametrize("at_once", [1, 40, 10_000])
def test_partials_are_compared_in_parts(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE prompt_usage ALTER prompt_id DROP NOT NULL"))
        connection.execute(text("UPDATE prompt_usage SET prompt_id = NULL WHERE generation_time_ms < 20"))
    sync_days(at(database, lake), DAYS)
    roll_up_days(at(database, lake))
    partials = open_partials(lake)
    monkeypatch.setattr(merge, "PARTIALS_PER_BATCH", at_once)
    rows = pl.DataFrame(pa.Table.from_batches(merging(partials.scan(), "dimension", "prompt_id")))
    once, twice = partials.scan(), partials.scan() + partials.scan()
    assert merge_alike(once, once)
    assert not merge_alike(once, twice)
    for _, prompts in rows.group_by("prompt_id", maintain_order=True):
        assert prompts["dimension"].is_sorted()
    assert rows["usage_count"].sum() == 5000
