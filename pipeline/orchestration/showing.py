"""What the UI shows of a materialization: the first rows as a table, and a small chart.

It never shows users' ids or texts, because Dagster's log would keep them after an erasure.
"""

import datetime as dt
from collections.abc import Sequence

import dagster as dg
import polars as pl

from pipeline import formats

ROWS = 10
COLUMNS = 8
BARS = 30
HEIGHTS = " ▁▂▃▄▅▆▇█"


def preview(rows: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """The first columns of the first rows as a Markdown table."""
    shown = rows.head(ROWS)
    shown = shown.select(shown.columns[:COLUMNS])
    cells = ([_text(value) for value in row] for row in shown.iter_rows())
    numbers = [name for name, kind in shown.schema.items() if kind.is_numeric()]
    return dg.MetadataValue.md(formats.markdown_table(shown.columns, cells, right=numbers))


def _text(value: object) -> str:
    match value:
        case None:
            return "—"
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case dt.datetime():
            return f"{value:%Y-%m-%d %H:%M}"
    return formats.markdown(str(value))


def chart(numbers: Sequence[int], what: str) -> dg.MarkdownMetadataValue:
    """The last numbers as bars in a line of text.

    It is not a picture, because the UI shows only images with an HTTP address. The UI itself plots numbers
    over time, since they are metadata of each materialization.
    """
    shown = numbers[-BARS:]
    highest = max(shown, default=0) or 1
    bars = "".join(HEIGHTS[-(-number * (len(HEIGHTS) - 1) // highest)] for number in shown)
    return dg.MetadataValue.md(f"`{bars or ' '}` {what}, at most {highest:,}")
