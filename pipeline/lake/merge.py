"""Merges partials into one per prompt and value, with the same memory for ten years as for one."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.days import chunks
from pipeline.engines import rollups
from pipeline.engines.scan import Scan
from pipeline.errors import LakeError

PARTIALS_PER_BATCH = 500_000
"""Partials merged at once, about: bounds the memory, and to group few at a time takes a third less time. A
prompt is never split."""


def merging(partials: Scan, *order: str) -> Iterator[pa.RecordBatch]:
    """The result of ``sql/engine/merged_partials.sql``, in batches of prompts.

    If columns are given, the rows of each batch are sorted by them.

    :raises LakeError: a file can't be read; or, once the last batch was, what comes out does not add up to
        what went in.
    """
    sizes = _sizes(partials)
    expected = sum(usage_count for _, usage_count in sizes.values())
    usage_count = 0
    for part in _parts(partials, sizes):
        with rollups.stream("merged_partials", order, partials=part) as rows:
            for batch in rows:
                usage_count += pc.sum(batch["usage_count"]).as_py() or 0
                yield batch
    if usage_count != expected:
        raise LakeError(
            "Merging partials",
            f"{expected} events went in, but {usage_count} came out",
            "Nothing was written. Run the command again, and please report it if it happens twice",
        )


def merge_alike(partials: Scan, others: Scan) -> bool:
    """Whether two scans are equal in every value when merged.

    :raises LakeError: a file can't be read.
    """
    sizes = _sizes(partials)
    return sizes.keys() == _sizes(others).keys() and all(
        _merged_rows(part).equals(_merged_rows(others.where(*part.conditions)))
        for part in _parts(partials, sizes)
    )


def _merged_rows(partials: Scan) -> pl.DataFrame:
    return rollups.run("merged_partials", partials=partials).sort("dimension", "prompt_id", "value")


Sizes = dict[str | None, tuple[int, int]]
"""The number of partials of each prompt, and the events that they count."""


def _sizes(partials: Scan) -> Sizes:
    found = rollups.run("partial_sizes", partials=partials)
    return {prompt: (rows, usage_count) for prompt, rows, usage_count in found.iter_rows()}


def _parts(partials: Scan, sizes: Sizes) -> Iterator[Scan]:
    """Scans that together are the whole."""
    if None in sizes:
        yield partials.where(("prompt_id", "is null", None))
    rows = {prompt: rows for prompt, (rows, _) in sizes.items() if prompt is not None}
    for prompts in chunks(rows, PARTIALS_PER_BATCH):
        # A range, for which a reader skips row groups by their statistics.
        yield partials.where(("prompt_id", ">=", prompts[0]), ("prompt_id", "<=", prompts[-1]))
