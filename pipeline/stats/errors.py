"""Error messages folded into kinds, so that one cause is one row."""

from __future__ import annotations

import polars as pl

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
    """The kind of a message: URLs, ids and numbers folded, white space collapsed, cut to 200 characters.

    Messages may hold ids: kept as they are, a bad day would have as many partials as failures.
    """
    for pattern, replacement in FOLDS:
        message = message.str.replace_all(pattern, replacement)
    return message.str.strip_chars().str.slice(0, LONGEST_KIND)
