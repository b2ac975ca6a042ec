"""What differs between the published table and the new one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl


class Changes(NamedTuple):
    """What has to be written. ``gone``: keys of the rows that go; ``rows``: those that come."""

    gone: pl.DataFrame
    rows: pl.DataFrame


def changed_rows(published: pl.DataFrame, wanted: pl.DataFrame, key: Sequence[str]) -> Changes:
    """The rows in which the two differ: those that are only in ``published``, and those only in ``wanted``.

    Both have the columns of ``wanted``, with the same types, and no row twice. ``key``: columns of
    ``published`` that name its rows. A row with another value goes under its key and comes anew.
    """
    columns = wanted.columns
    rows = wanted.join(published, on=columns, how="anti", nulls_equal=True)
    gone = published.join(wanted, on=columns, how="anti", nulls_equal=True)
    return Changes(gone.select(key), rows)
