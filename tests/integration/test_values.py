"""Values of the app's own types: fractional times, and numbers that are no time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pipeline.adoption.schema import migrate
from pipeline.answers.reading import status
from pipeline.database.connections import Database
from pipeline.health.checks.events import values_are_usable
from pipeline.health.checks.recount import prompts_equal_recount
from pipeline.lake import partials, usage_events
from pipeline.lake.periods import PERIOD_SCHEMA
from pipeline.lake.usage_events import unusable_values
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.refresh import plan_refresh, refresh
from tests.app import at

TABLES = """
    CREATE TABLE prompts (id uuid PRIMARY KEY, slug text, name text NOT NULL, deleted_at timestamptz);
    CREATE TABLE prompt_usage (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        prompt_id uuid,
        user_id uuid,
        success boolean,
        generation_time_ms {kind},
        scene text,
        created_at timestamptz DEFAULT now() - interval '40 days'
    );
"""
PROMPTS = [uuid.UUID(int=number) for number in range(1, 4)]
FRACTIONS = ["5012.4", "0.25", "1e-9", "123456.789", "86399999.5", "-7.75", "12", "0"]
NEW_COLUMNS = ("generation_time_ps", "unusable", "generation_time_ps_sum")
NO_TIMES = ["NaN", "1e30", "-1e30", "2147483648"]


@pytest.fixture(
    params=["double precision", "real", "numeric", "numeric(20,2)", "bigint", "smallint"],
    ids=lambda kind: str(kind).replace(" ", "-"),
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app(empty_database: Database, kind: str) -> Iterator[psycopg.Connection]:
    """An app with times of another type than ours."""
    with psycopg.connect(empty_database.conninfo, autocommit=True) as app:
        app.execute(TABLES.format(kind=kind).encode())
        app.cursor().executemany(
            "INSERT INTO prompts (id, name) VALUES (%s, 'name')", [(prompt,) for prompt in PROMPTS]
        )
        migrate(empty_database)
        yield app


def insert(app: psycopg.Connection, prompt: uuid.UUID, values: list[str]) -> int:
    """Inserts those of the values that the column takes; returns how many it took."""
    taken = 0
    for value in values:
        try:
            app.execute(
                "INSERT INTO prompt_usage (prompt_id, user_id, success, generation_time_ms, scene)"
                " VALUES (%s, %s, true, %s, 'studio')",
                (prompt, prompt, value),
            )
            taken += 1
        except (psycopg.errors.NumericValueOutOfRange, psycopg.errors.InvalidTextRepresentation):
            pass
    return taken


def averages(app: psycopg.Connection, table: str) -> list[tuple[float | None, int]]:
    """The published mean, and number of times, by prompt."""
    return app.execute(
        f"SELECT avg_generation_time_ms, timed_count FROM {table} ORDER BY prompt_id".encode()
    ).fetchall()


def test_fractions_count_and_what_is_no_time_does_not(
    empty_database: Database, app: psycopg.Connection, lake: str
) -> None:
    database = empty_database
    timed = insert(app, PROMPTS[0], FRACTIONS)
    timed_too = insert(app, PROMPTS[1], ["5012.4", "17"])
    untimed = insert(app, PROMPTS[1], NO_TIMES) + insert(app, PROMPTS[2], NO_TIMES)
    assert refresh(at(database, lake), values=True).usage_count == timed + timed_too + untimed
    of_app = app.execute(
        "SELECT avg(generation_time_ms) FILTER (WHERE abs(generation_time_ms) < 2147483648)::float8"
        " FROM prompt_usage GROUP BY prompt_id ORDER BY prompt_id"
    ).fetchall()
    for table in ("prompt_stats", "prompt_scene_stats"):
        published = averages(app, table)
        assert [count for _, count in published][:2] == [timed, timed_too]
        for (mean, _), (expected,) in zip(published, of_app, strict=False):
            assert mean == (expected if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-9))
    count, examples = unusable_values(lake)
    said = status(at(database, lake))
    assert (count, said["unusable_count"]) == (untimed, untimed)
    assert (len(examples), len(said["unusable_examples"])) == (min(untimed, 5), min(untimed, 5))
    found = values_are_usable(at(database, lake))
    assert (found.passed, found.figures) == (not untimed, {"events": untimed})
    recounted = prompts_equal_recount(at(database, lake))
    assert recounted.passed, recounted.summary
    # Nothing differs at night, and nothing is kept from expiring.
    assert reconcile(at(database, lake)).repaired == {}
    report = retain(at(database, lake), 7)
    assert (report.kept, report.rows) == ({}, timed + timed_too + untimed)
    assert plan_refresh(at(database, lake)).days == []
    assert unusable_values(lake)[0] == untimed


@pytest.mark.parametrize("kind", ["double precision"], indirect=True)
def test_a_lake_of_an_older_version_gets_the_columns(
    empty_database: Database, app: psycopg.Connection, lake: str
) -> None:
    """Its files lack them: they are read as they are, and new ones have them."""
    for name, schema in (
        (usage_events.TABLE, usage_events.SCHEMA),
        (partials.USAGE.daily, partials.SCHEMA),
        (partials.USAGE.monthly, PERIOD_SCHEMA),
    ):
        old = pa.schema([field for field in schema if field.name not in NEW_COLUMNS])
        DeltaTable.create(f"{lake}/{name}", old, partition_by=["day"])
    insert(app, PROMPTS[0], ["10"])
    refresh(at(empty_database, lake))
    insert(app, PROMPTS[0], ["5.5"])
    refresh(at(empty_database, lake))
    assert averages(app, "prompt_stats")[0] == (7.75, 2)
    assert reconcile(at(empty_database, lake)).repaired == {}
