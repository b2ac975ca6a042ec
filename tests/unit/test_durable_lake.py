"""What a power cut may do to the last commit of a lake table, and what is left alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipeline.errors import LakeError, LakeFlushError
from pipeline.lake import durable
from pipeline.lake.delta_table import DailyTable
from pipeline.lake.isolation import run_isolated

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("ingest_xid", pa.int64()),
        ("synced_high", pa.int64()),
        ("day", pa.date32()),
    ]
)
DAY = dt.date(2026, 1, 1)


def rows(count: int) -> pa.Table:
    """Rows of one day."""
    columns = {
        "id": ["a"] * count,
        "ingest_xid": [1] * count,
        "synced_high": [5] * count,
        "day": [DAY] * count,
    }
    return pa.table(columns, schema=SCHEMA)


def count(lake: str) -> int:
    """The rows that a table holds that is opened now."""
    table = DailyTable(lake, "t", SCHEMA)
    return int(table.read().count_rows())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of two commits, 3 rows and 4; the second is not flushed, and may be broken."""
    lake = str(tmp_path / "lake")
    table = DailyTable(lake, "t", SCHEMA)
    table.append(rows(3))
    table.append(rows(4))
    folder = tmp_path / "lake" / "t"
    durable.write_note(folder, 1)
    return folder


def entry(folder: Path) -> Path:
    return durable.entry(folder, 2)


def file(folder: Path) -> Path:
    added: list[str] = [each["add"]["path"] for each in durable.actions(entry(folder)) if "add" in each]
    return folder / added[0]


def first_line(path: Path) -> bytes:
    return path.read_bytes().partition(b"\n")[0]


def make_checkpoint(folder: Path) -> Path:
    DeltaTable(folder).create_checkpoint()
    return folder / "_delta_log" / f"{2:020}.checkpoint.parquet"


BROKEN: dict[str, Callable[[Path], object]] = {
    "empty entry": lambda folder: entry(folder).write_bytes(b""),
    "entry cut in half": lambda folder: entry(folder).write_bytes(entry(folder).read_bytes()[:400]),
    "entry of zeros": lambda folder: entry(folder).write_bytes(bytes(500)),
    "entry without its files": lambda folder: entry(folder).write_bytes(
        entry(folder).read_bytes().split(b"\n")[0]
    ),
    "missing file": lambda folder: file(folder).unlink(),
    "empty file": lambda folder: file(folder).write_bytes(b""),
    "file of zeros": lambda folder: file(folder).write_bytes(bytes(file(folder).stat().st_size)),
    "gap in the log": lambda folder: entry(folder).rename(durable.entry(folder, 3)),
}


@pytest.mark.parametrize("damage", BROKEN)
@pytest.mark.parametrize("note", ["older", "empty"])
def test_an_unflushed_commit_that_is_broken_is_dropped(folder: Path, damage: str, note: str) -> None:
    """The table is at the version before, and takes new commits."""
    if note == "empty":
        (folder / durable.NOTE).write_bytes(b"")
    BROKEN[damage](folder)
    lake = str(folder.parent)
    assert count(lake) == 3
    DailyTable(lake, "t", SCHEMA).append(rows(2))
    assert count(lake) == 5


def test_an_unflushed_commit_that_is_whole_is_kept(folder: Path) -> None:
    """As after a killed process: it is flushed by whoever opens it next."""
    assert count(str(folder.parent)) == 7
    assert durable.read_note(folder) == 2


def test_a_flushed_commit_is_not_dropped(folder: Path) -> None:
    """What breaks later is for reconcile: going back to the version before would lose what is published."""
    assert count(str(folder.parent)) == 7
    file(folder).unlink()
    DailyTable(str(folder.parent), "t", SCHEMA)
    assert durable.log_versions(folder) == [0, 1, 2]


def test_a_lake_of_an_older_release_is_flushed_once_and_left_as_it_is(folder: Path) -> None:
    """It has no note, so nothing says which commits were flushed."""
    (folder / durable.NOTE).unlink()
    file(folder).unlink()
    table = DailyTable(str(folder.parent), "t", SCHEMA)
    assert table.days()["usage_count"].to_list() == [7]
    assert durable.read_note(folder) == 2


@pytest.mark.parametrize("damage", ["torn", "missing"])
def test_a_checkpoint_that_a_cut_broke_is_dropped(folder: Path, damage: str) -> None:
    """The log's entries are still there, so nothing is lost."""
    checkpoint = make_checkpoint(folder)
    if damage == "torn":
        checkpoint.write_bytes(b"PAR1")
    else:
        checkpoint.unlink()
    assert count(str(folder.parent)) == 7
    assert not checkpoint.exists()


def test_the_log_is_shortened_only_after_its_checkpoint_is_flushed(folder: Path) -> None:
    """A cleaned table, of which the checkpoint was not flushed, is as it was."""
    DailyTable(str(folder.parent), "t", SCHEMA)
    durable.expect_checkpoint(folder, 2)
    make_checkpoint(folder).write_bytes(b"")
    assert count(str(folder.parent)) == 7


@pytest.mark.parametrize("is_derived", [False, True])
def test_a_torn_log_is_replaced_where_all_can_be_computed_again(folder: Path, *, is_derived: bool) -> None:
    """Partials are made anew from the raw events; those are left for a person to restore."""
    lake = str(folder.parent)
    DailyTable(lake, "t", SCHEMA)
    first = durable.entry(folder, 1)
    first.write_bytes(first.read_bytes()[:400])
    if is_derived:
        assert DailyTable(lake, "t", SCHEMA, is_derived=True).days().is_empty()
    else:
        with pytest.raises(LakeError, match="Opening the lake table"):
            DailyTable(lake, "t", SCHEMA)
        assert file(folder).exists()


def test_a_commit_that_cannot_be_flushed_is_not_repeated(folder: Path) -> None:
    """It is there, so its rows would count twice if the days were tried again one by one."""
    table = DailyTable(str(folder.parent), "t", SCHEMA)
    note = folder / durable.NOTE
    note.unlink()
    note.mkdir()
    tried = []

    def work(days: list[dt.date]) -> None:
        tried.append(days)
        table.append(rows(2))

    with pytest.raises(LakeFlushError, match="Is a directory"):
        run_isolated([[DAY, DAY]], work)
    assert len(tried) == 1
    note.rmdir()
    assert count(str(folder.parent)) == 9
