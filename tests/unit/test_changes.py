"""What has to be written: it turns what is published into what is wanted, and touches nothing else."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stats.changes import Changes, changed_rows

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


def compared(published: set[Row], wanted: set[Row]) -> tuple[pl.DataFrame, Changes]:
    numbered = frame(published).with_row_index("row_id")
    return numbered, changed_rows(numbered, frame(wanted), ["row_id"])


@given(ROWS, ROWS)
def test_applying_the_changes_gives_what_is_wanted(published: set[Row], wanted: set[Row]) -> None:
    numbered, changes = compared(published, wanted)

    kept = numbered.join(changes.gone, on="row_id", how="anti").drop("row_id")
    assert sorted(map(repr, pl.concat([kept, changes.rows]).iter_rows())) == sorted(map(repr, wanted))


@given(ROWS, ROWS)
def test_only_rows_that_differ_are_written(published: set[Row], wanted: set[Row]) -> None:
    numbered, changes = compared(published, wanted)

    gone = numbered.join(changes.gone, on="row_id", how="semi").drop("row_id")
    assert set(gone.iter_rows()) == published - wanted
    assert set(changes.rows.iter_rows()) == wanted - published


def test_the_order_of_columns_does_not_matter() -> None:
    rows = frame({("a", "x", 1)})

    changes = changed_rows(rows.select(reversed(rows.columns)), rows, ["scene"])
    assert (changes.gone.height, changes.rows.height) == (0, 0)
