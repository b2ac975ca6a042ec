"""The recount of a sample finds a wrong number in every table and column, and what it names repairs it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import DateTime, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.health.checks import recount
from pipeline.health.checks.catalog import CHECKS, make
from pipeline.health.checks.recount import prompts_equal_recount
from pipeline.health.checks.report import Report
from pipeline.installation import Installation
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.refresh import refresh
from pipeline.stats.percentiles import PERCENTILES
from tests.app import at
from tests.conftest import NewDatabase
from tests.roles import as_role

RETAINED = 10
PROMPTS = [uuid.UUID(int=number) for number in range(1, 4)]

HISTORY = """
    INSERT INTO prompts (id, name, template)
    SELECT lpad(n::text, 32, '0')::uuid, 'n', 't' FROM generate_series(1, 4) AS n;

    INSERT INTO prompt_usage
        (prompt_id, user_id, scene, outfit, success, generation_time_ms, error_message, created_at)
    SELECT lpad((n % 3 + 1)::text, 32, '0')::uuid,
           CASE WHEN n % 5 > 0 THEN lpad((n % 7)::text, 32, '0')::uuid END,
           (ARRAY['cafe', '', NULL])[n % 3 + 1], (ARRAY['suit', NULL])[n % 2 + 1],
           n % 10 <> 0, nullif(n * day, 0), CASE WHEN n % 10 = 0 THEN 'out of memory' END,
           now() - day * interval '1 day'
    FROM unnest(ARRAY[0, 1, 5, 20, 40]) AS day, generate_series(1, 30) AS n;

    ALTER TABLE prompt_usage ALTER prompt_id DROP NOT NULL;
    INSERT INTO prompt_usage (scene, success) VALUES ('cafe', true), (NULL, false);
    INSERT INTO prompt_usage (prompt_id, user_id, created_at)
    VALUES (lpad('1', 32, '0')::uuid, lpad('1', 32, '0')::uuid, NULL);
"""

UNTRACED = {"favorite_count", "is_favorite", "stats_as_of"}
"""Favourites change without a trace, and when a row was written is no count."""
RECOUNTED = [*tables.STATS_TABLES, tables.user_prompt_stats]


@pytest.fixture(scope="module")
def installation(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Events of weeks, those of the first in the lake alone. For all tests: each mends what it breaks."""
    lake = str(tmp_path_factory.mktemp("lake"))
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute(HISTORY.encode())
        retain(at(database, lake), RETAINED)
        yield at(database, lake)


def plant(database: Database, statement: str) -> int:
    with psycopg.connect(database.conninfo) as connection:
        return connection.execute(statement.encode()).rowcount


def assert_finds(installation: Installation, table: Table, column: str) -> Report:
    report = prompts_equal_recount(installation)
    assert not report.passed, f"{table.name}.{column}"
    assert report.figures["users_recounted"]
    assert report.figures["days_left_out"] == 0
    return report


def wrong(column: str, kind: object) -> str:
    if isinstance(kind, DateTime):
        return f"{column} - interval '1 microsecond'"
    # Percentiles are estimates, within 2 %.
    return f"{column} * 1.05" if column in PERCENTILES else f"{column} + 1"


@pytest.mark.parametrize("table", RECOUNTED, ids=lambda table: table.name)
def test_wrong_numbers_are_found_and_repaired_by_what_is_named(
    installation: Installation, table: Table
) -> None:
    assert prompts_equal_recount(installation).passed
    wrong_values = {
        column.name: wrong(column.name, column.type)
        for column in table.c
        if not isinstance(column.type, UUID | Text)
        and column.name not in UNTRACED
        and column.name != "day"
        and column.identity is None
    }
    assert len(wrong_values) >= 2
    changes = ", ".join(f"{name} = {value}" for name, value in wrong_values.items())
    whole = " AND ".join(f"{name} IS NOT NULL" for name in wrong_values)
    first = f"ctid = (SELECT min(ctid) FROM {table.name} WHERE {whole})"
    assert plant(installation.database, f"UPDATE {table.name} SET {changes} WHERE {first}") == 1
    report = assert_finds(installation, table, changes)
    said = " ".join(row["differs"] for row in report.worst).split()
    assert wrong_values.keys() <= set(said), report.worst
    assert {row["repair"] for row in report.worst} == {"prompt-stats reconcile"}
    if table is tables.prompt_stats:
        # A prompt whose row is lost is no longer of the sample.
        [adds_up] = [check for check in CHECKS if check.name == "stats_add_up"]
        delete_a_row(installation, table)
        assert not make(adds_up, installation).passed
    assert reconcile(installation).lost == {}
    assert prompts_equal_recount(installation).passed


def delete_a_row(installation: Installation, table: Table) -> None:
    used = "usage_count > 0" if "usage_count" in table.c else "true"
    row = f"ctid = (SELECT min(ctid) FROM {table.name} WHERE {used})"
    assert plant(installation.database, f"DELETE FROM {table.name} WHERE {row}") == 1


def test_lost_rows_are_found_in_every_table_and_come_back(installation: Installation) -> None:
    # Those over all prompts first: they are sums of the others, and wrong once one of these is.
    lost = sorted(set(RECOUNTED) - {tables.prompt_stats}, key=lambda table: "prompt_id" in table.c)
    expected = set()
    for table in lost:
        delete_a_row(installation, table)
        report = assert_finds(installation, table, "a row")
        # The errors of a prompt are compared in sum, beside its other counters.
        expected.add("prompt_stats" if table is tables.prompt_error_stats else table.name)
        assert expected <= set(re.findall(r"\w+", report.summary))
    reconcile(installation)
    assert prompts_equal_recount(installation).passed


def test_users_are_compared_by_sample_where_there_are_many(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recount, "USERS_PER_BATCH", 6)
    assert prompts_equal_recount(installation).passed
    # Of those that are not of the sample, too: the sums differ.
    plant(installation.database, "UPDATE user_prompt_stats SET failure_count = failure_count + 1")
    assert_finds(installation, tables.user_prompt_stats, "failure_count")
    reconcile(installation)


def test_users_that_are_behind_are_compared_as_of_then(installation: Installation) -> None:
    plant(
        installation.database,
        "INSERT INTO prompt_usage (prompt_id, user_id, success)"
        f" VALUES ('{PROMPTS[0]}', gen_random_uuid(), true)",
    )
    refresh(installation, users=False)
    report = prompts_equal_recount(installation)
    assert (report.passed, report.figures["users_recounted"]) == (True, True)
    plant(
        installation.database, "UPDATE prompt_usage SET success = NOT success WHERE created_at > current_date"
    )
    refresh(installation, users=False)
    report = prompts_equal_recount(installation)
    assert (report.passed, report.figures["users_recounted"]) == (True, False)
    refresh(installation)
    assert prompts_equal_recount(installation).figures["users_recounted"]


def test_a_check_that_does_not_see_everything_says_so(installation: Installation) -> None:
    with as_role(installation.database, "pipeline") as seen:
        own = at(seen, installation.lake)
        names = ("prompts_equal_recount", "lake_equals_postgres")
        looked = [check for check in CHECKS if check.name in names]
        assert all(make(check, own).passed for check in looked)
        plant(
            installation.database,
            "ALTER TABLE prompt_usage ENABLE ROW LEVEL SECURITY;"
            " CREATE POLICY everything ON prompt_usage USING (true)",
        )
        for check in looked:
            report = make(check, own)
            assert not report.passed
            assert "can't be made" in report.summary
            assert "row-level security" in report.summary
        plant(
            installation.database,
            "DROP POLICY everything ON prompt_usage; ALTER TABLE prompt_usage DISABLE ROW LEVEL SECURITY",
        )


def test_times_below_zero_are_recounted_as_they_are(database: Database, lake: str) -> None:
    with psycopg.connect(database.conninfo) as app:
        app.execute("ALTER TABLE prompt_usage ALTER generation_time_ms TYPE double precision")
        app.execute("INSERT INTO prompts (id, name, template) VALUES (%s, 'n', 't')", [PROMPTS[0]])
        app.execute(
            "INSERT INTO prompt_usage (prompt_id, generation_time_ms) VALUES (%s, -0.5)", [PROMPTS[0]]
        )
    refresh(at(database, lake))
    report = prompts_equal_recount(at(database, lake))
    assert report.passed, report.worst
