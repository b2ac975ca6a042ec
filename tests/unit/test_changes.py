"""What has to be written: it turns what is published into what is wanted, and touches nothing else."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stats.changes import Changes, changed_groups

Row = tuple[str | None, str | None, int]

ROWS = st.sets(
    st.tuples(
        st.sampled_from([None, "", "a", "b", "c"]), st.sampled_from([None, "", "x"]), st.integers(0, 2)
    ),
    max_size=12,
)


def frame(rows: set[Row]) -> pl.DataFrame:
    schema = {"scene": pl.String, "detail": pl.String, "usage_count": pl.Int64}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def applied(published: set[Row], changes: Changes) -> set[Row]:
    gone = set(changes.groups.to_list())
    return {row for row in published if row[0] not in gone} | set(changes.rows.iter_rows())


@given(ROWS, ROWS)
def test_applying_the_changes_gives_what_is_wanted(published: set[Row], wanted: set[Row]) -> None:
    changes = changed_groups(frame(published), frame(wanted), "scene")

    assert applied(published, changes) == wanted


@given(ROWS, ROWS)
def test_only_groups_that_differ_are_written(published: set[Row], wanted: set[Row]) -> None:
    changes = changed_groups(frame(published), frame(wanted), "scene")

    groups = changes.groups.to_list()
    assert len(groups) == len(set(groups))
    assert set(groups) == {row[0] for row in published ^ wanted}
    assert set(changes.rows["scene"].to_list()) <= set(groups)


@given(ROWS)
def test_nothing_changed_is_nothing_to_write(rows: set[Row]) -> None:
    changes = changed_groups(frame(rows), frame(rows), "scene")

    assert changes.groups.is_empty()
    assert changes.rows.is_empty()


def test_the_order_of_columns_does_not_matter() -> None:
    rows = frame({("a", "x", 1)})

    assert changed_groups(rows.select(reversed(rows.columns)), rows, "scene").groups.is_empty()
