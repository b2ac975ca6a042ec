"""Error messages folded into kinds, so that one cause is one row."""

from __future__ import annotations

import polars as pl

from pipeline.stats.rates import TIME_SUMS

LONGEST_KIND = 200

FOLDS = (
    (r"https?://\S+", "<url>"),
    (r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (r"(?i)\b(?:0x)?[0-9a-f]*[0-9][0-9a-f]{11,}\b", "<id>"),
    (r"\d+(?:\.\d+)?", "<n>"),
    (r"\s+", " "),
)
"""Pattern and what stands for it, applied in this order; the syntax is that of Rust's regex crate."""


def error_kind(message: pl.Expr) -> pl.Expr:
    """The kind of a message: URLs, ids and numbers folded, white space collapsed, cut to 200 characters."""
    for pattern, replacement in FOLDS:
        message = message.str.replace_all(pattern, replacement)
    return message.str.strip_chars().str.slice(0, LONGEST_KIND)


def fold_errors(partials: pl.DataFrame) -> pl.DataFrame:
    """The rows of a rollup with the values of dimension ``error`` folded into kinds, and merged by kind.

    Messages may hold ids: kept as they are, a bad day would have as many partials as failures.
    """
    is_error = pl.col("dimension") == "error"
    counts = ["usage_count", "success_count", "failure_count", "timed_count", *TIME_SUMS]
    lowest = ["generation_time_ms_min", "first_used_at", "synced_high"]
    highest = ["generation_time_ms_max", "last_used_at", "ingest_xid"]
    kinds = (
        partials.filter(is_error)
        .with_columns(error_kind(pl.col("value")))
        .group_by("day", "prompt_id", "dimension", "value")
        .agg(pl.col(counts).sum(), pl.col(lowest).min(), pl.col(highest).max())
    )
    return pl.concat([partials.filter(~is_error), kinds.select(partials.columns)])
