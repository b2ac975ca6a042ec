"""Partials merged into one a prompt and value, with as much memory for ten years as for one."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow.dataset as ds

from pipeline.days import chunks
from pipeline.engines import duckdb_engine
from pipeline.errors import LakeError
from pipeline.lake import damage

PARTIALS_AT_ONCE = 500_000
"""Partials merged at once, about: bounds the memory. A prompt is never split."""


def merged(partials: ds.Dataset) -> Iterator[pl.DataFrame]:
    """The result of ``sql/engine/merged_partials.sql``, some prompts at a time.

    Sorted by dimension and prompt within each part. A part without rows is left out.

    :raises LakeError: a file can't be read, or what comes out does not add up to what went in.
    """
    for part, usage_count in _parts(partials):
        rows = duckdb_engine.run("merged_partials", partials=part)
        if rows["usage_count"].sum() != usage_count:
            raise LakeError(
                "Merging partials",
                f"{usage_count} events went in and {rows['usage_count'].sum()} came out",
                "Run it again: nothing was written. Please report it if it happens twice",
            )
        if rows.height:
            yield rows.sort("dimension", "prompt_id")


def _parts(partials: ds.Dataset) -> Iterator[tuple[ds.Dataset, int]]:
    """Datasets that together are the whole, with the events that each counts."""
    sizes: dict[str, int] = {}
    usage_counts: dict[str, int] = {}
    unnamed = 0
    with damage.reading("Merging partials"):
        for batch in partials.to_batches(columns=["prompt_id", "usage_count"]):
            counted = pl.DataFrame(batch).group_by("prompt_id").agg(pl.len(), pl.col("usage_count").sum())
            for prompt, rows, usage_count in counted.iter_rows():
                if prompt is None:
                    unnamed += usage_count
                else:
                    sizes[prompt] = sizes.get(prompt, 0) + rows
                    usage_counts[prompt] = usage_counts.get(prompt, 0) + usage_count
    prompt_id = ds.field("prompt_id")
    if unnamed:
        yield partials.filter(prompt_id.is_null()), unnamed
    for prompts in chunks(sizes, PARTIALS_AT_ONCE):
        # A range, for which a reader skips row groups by their statistics.
        within = (prompt_id >= prompts[0]) & (prompt_id <= prompts[-1])
        yield partials.filter(within), sum(usage_counts[prompt] for prompt in prompts)
