"""What somebody put into the log of a lake's table: nobody waits for it, and the error says what helps."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import LakeError
from pipeline.lake.delta_table import DailyTable

SCHEMA = pa.schema([("day", pa.date32()), ("ingest_xid", pa.int64()), ("synced_high", pa.int64())])
NEXT = 26
"""The version that is next."""


def opened(lake: Path) -> DailyTable:
    return DailyTable(str(lake), "events", SCHEMA)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with one table of some commits and a checkpoint."""
    lake = tmp_path_factory.mktemp("lake")
    table = opened(lake)
    for number in range(NEXT - 1):
        row = {"day": [dt.date(2025, 1, 1)], "ingest_xid": [number], "synced_high": [number]}
        table.append(pa.table(row, schema=SCHEMA))
    return lake


@pytest.fixture
def log(whole: Path, tmp_path: Path) -> Path:
    """The folder with the log of a copy."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path / "events" / "_delta_log"


def named(log: Path, version: int, kind: str = "json") -> Path:
    return log / f"{version:020}.{kind}"


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


REFUSED: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda log: (log / "_last_checkpoint").write_text('{"version": 4000, "size": 1}'),
        "_last_checkpoint names no checkpoint that is there. Delete this file, which is made again",
    ),
    (
        lambda log: named(log, 99).write_text("{}"),
        "0099.json does not follow the entry before it, of version 25. If something else put it there, move",
    ),
    (
        lambda log: named(log, NEXT - 1, "checkpoint.parquet").write_text("junk"),
        "0025.checkpoint.parquet can't be read: .* Delete it and _last_checkpoint beside it",
    ),
    (lambda log: pipe(named(log, NEXT)), "0026.json: it is a named pipe and not a regular file"),
    (
        lambda log: pipe(log / "_last_checkpoint"),
        "_last_checkpoint: it is a named pipe and not a regular file",
    ),
    (lambda log: pipe(log.parent / "_flushed_version"), "_flushed_version: it is a named pipe"),
    (lambda log: named(log, NEXT).mkdir(), "0026.json: it is a folder and not a regular file"),
]


@pytest.mark.parametrize(("plant", "said"), REFUSED)
def test_what_is_wrong_with_a_log_is_said(log: Path, plant: Callable[[Path], object], said: str) -> None:
    plant(log)
    with pytest.raises(LakeError, match=said) as caught:
        opened(log.parents[1])
    assert "Kernel" not in str(caught.value)


@pytest.mark.parametrize("text", ["junk", "[]", '{"add": {}}'])
def test_an_entry_that_is_none_after_the_last_one_is_dropped(log: Path, text: str) -> None:
    """As a power cut may leave one."""
    named(log, NEXT).write_text(text)
    assert opened(log.parents[1]).days()["usage_count"].to_list() == [NEXT - 1]


@pytest.mark.parametrize("name", ["1abc.json", "0.1.compacted.json"])
def test_other_files_in_a_log_are_left_alone(log: Path, name: str) -> None:
    (log / name).write_text("junk")
    assert opened(log.parents[1]).days()["usage_count"].to_list() == [NEXT - 1]
