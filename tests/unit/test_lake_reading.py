"""How files of the lake are read."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from pipeline.lake.delta_table import DailyTable

SCHEMA = pa.schema([("id", pa.string()), ("day", pa.date32())])


def test_a_lake_in_a_folder_is_read_by_arrow_alone(lake: str) -> None:
    """A file system in Python, called by Arrow's threads, crashes a process that ends right after a scan."""
    table = DailyTable(lake, "t", SCHEMA)
    table.append(pa.table({"id": ["a", "b"], "day": [dt.date(2026, 1, 1)] * 2}, schema=SCHEMA))
    dataset = table.read()
    assert isinstance(dataset, ds.FileSystemDataset)
    assert not isinstance(dataset.filesystem, fs.PyFileSystem)
    assert dataset.count_rows() == 2
