"""What differs between the published table and the new one."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl


class Changes(NamedTuple):
    """What has to be written. ``groups``: keys whose rows go; ``rows``: what comes in their place."""

    groups: pl.Series
    rows: pl.DataFrame


def changed_groups(published: pl.DataFrame, wanted: pl.DataFrame, group: str) -> Changes:
    """The groups of which any row differs, and all rows that they shall have.

    Both frames have the same columns and types, and no row twice. Replacing whole groups makes those
    vanish that became empty, and leaves alone those that stay the same.
    """
    columns = wanted.columns
    published = published.select(columns)
    new = wanted.join(published, on=columns, how="anti", nulls_equal=True)
    old = published.join(wanted, on=columns, how="anti", nulls_equal=True)
    groups = pl.concat([new[group], old[group]]).unique()
    rows = wanted.join(groups.to_frame(), on=group, how="semi", nulls_equal=True)
    return Changes(groups, rows)
