"""Notes of changed days: after an app changed much, notes and days are not compared each with each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from pipeline.database.connections import Database
from pipeline.database.queries import query
from tests.conftest import FIRST_DAY

DAYS = [FIRST_DAY + dt.timedelta(days=number) for number in range(700)]
# Of every other day: the rest is looked for in vain.
NOTES = 20_000
NOTED = """
    INSERT INTO prompt_usage_invalidation (day, operation)
    SELECT CAST(:first_day AS date) + number % 350 * 2, 'UPDATE' FROM generate_series(1, :notes) AS number
"""
PUBLISHED = """
    INSERT INTO stats_day (day, usage_count, ingest_xid, events_version)
    SELECT CAST(:first_day AS date) + number, 1, 1, 1 FROM generate_series(0, 699) AS number
"""
VALUES = {
    "first_day": FIRST_DAY,
    "days": DAYS,
    "replaced_from": [2**62] * len(DAYS),
    "all_replaced_from": 0,
    "from_day": FIRST_DAY,
    "marks": [1] * len(DAYS),
}


def rows_handled(node: dict[str, Any]) -> Iterator[float]:
    """The rows that the nodes of a plan gave or dropped, each time that they ran."""
    removed = ("Rows Removed by Filter", "Rows Removed by Join Filter")
    yield node["Actual Loops"] * (node["Actual Rows"] + sum(node.get(name, 0) for name in removed))
    for child in node.get("Plans", ()):
        yield from rows_handled(child)


@pytest.mark.parametrize(
    "name", ["publish/clear_invalidations", "lake/invalidated_days", "publish/lost_days", "health/day_counts"]
)
def test_the_work_grows_with_the_notes_and_not_with_notes_times_days(database: Database, name: str) -> None:
    with database.engine.connect() as connection:
        connection.execute(text(NOTED), {"first_day": FIRST_DAY, "notes": NOTES})
        connection.execute(text(PUBLISHED), {"first_day": FIRST_DAY})
        explained = text(f"EXPLAIN (ANALYZE, FORMAT JSON) {query(name)}")
        given = {each: VALUES[each] for each in explained.compile().params}
        (plan,) = connection.execute(explained, given).scalar_one()
        assert sum(rows_handled(plan["Plan"])) < 10 * (NOTES + len(DAYS))
        if name == "publish/clear_invalidations":
            left = connection.execute(text("SELECT count(*) FROM prompt_usage_invalidation")).scalar_one()
            assert left == 0
