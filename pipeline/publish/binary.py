"""Encodes frames for ``COPY … (FORMAT binary)``, which Postgres reads in less than half the time of CSV."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)

NULL = struct.pack(">i", -1)
"""The length field of a NULL value."""

EPOCH_DAYS = 10_957
"""Days from 1970 to 2000, the epoch of Postgres."""
EPOCH_US = EPOCH_DAYS * 86_400_000_000

TEXTS = frozenset({25, 1042, 1043})
UUID = 2950
FIXED = {
    16: ("i1", pl.Int8, 0),
    20: (">i8", pl.Int64, 0),
    21: (">i2", pl.Int16, 0),
    23: (">i4", pl.Int32, 0),
    701: (">f8", pl.Float64, 0),
    1082: (">i4", pl.Int32, EPOCH_DAYS),
    1114: (">i8", pl.Int64, EPOCH_US),
    1184: (">i8", pl.Int64, EPOCH_US),
}
"""Types by oid: how a value is stored, what it is in polars, and how far it begins after that."""


def is_known(oids: Iterable[int]) -> bool:
    """Whether values of all these types can be encoded."""
    return all(oid in FIXED or oid in TEXTS or oid == UUID for oid in oids)


def encoded(rows: pl.DataFrame, oids: Mapping[str, int]) -> memoryview:
    """The rows, without :data:`HEADER` and :data:`TRAILER`. ``oids``: the types of the columns there."""
    width = np.full(rows.height, rows.width, ">i2")
    fields = [_fixed(width)]
    for column in rows:
        oid = oids[column.name]
        values = _with_length(column, *FIXED[oid]) if oid in FIXED else _sized(_bytes(column, oid))
        if column.null_count():
            values = pc.if_else(column.is_null().to_arrow(), pa.scalar(NULL, pa.large_binary()), values)
        fields.append(values)
    joined = pc.binary_join_element_wise(*fields, pa.scalar(b"", pa.large_binary()))
    return memoryview(joined.buffers()[2])


def _with_length(column: pl.Series, stored: str, kind: type[pl.DataType], epoch: int) -> pa.Array:
    values = np.empty(len(column), [("length", ">i4"), ("value", stored)])
    values["length"] = np.dtype(stored).itemsize
    physical = column.to_physical() if column.dtype.is_temporal() else column
    values["value"] = physical.cast(kind).fill_null(epoch).to_numpy() - epoch
    return _fixed(values)


def _fixed(values: np.ndarray) -> pa.Array:
    width = values.dtype.itemsize
    offsets = np.arange(len(values) + 1, dtype=np.int64) * width
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(values)]
    )


def _bytes(column: pl.Series, oid: int) -> pa.Array:
    texts = column.fill_null("")
    if oid == UUID:
        return (
            texts.str.replace_all("-", "", literal=True).str.decode("hex").to_arrow().cast(pa.large_binary())
        )
    return texts.to_arrow().cast(pa.large_binary())


def _sized(values: pa.Array) -> pa.Array:
    lengths = _fixed(np.asarray(pc.binary_length(values)).astype(">i4"))
    return pc.binary_join_element_wise(lengths, values, pa.scalar(b"", pa.large_binary()))
