"""The stats of users after rows were changed: only who may differ is merged, and the numbers are right."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pyarrow as pa
import pytest

from pipeline.database.connections import Database
from pipeline.engines.scan import Scan
from pipeline.lake import delta_table, periods
from pipeline.lake.merge import merging
from pipeline.lake.usage_events import sync_days
from pipeline.publish import users
from pipeline.refresh import plan_refresh, refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.lake_files import files_of, overwrite
from tests.oracle import assert_equals_recount
from tests.published import Published

# Users 1 to 5 and prompts 1 to 3, a few events on each of ten days; some events without a time or a user.
LIVE = """
    INSERT INTO prompts (id, name, template)
    SELECT md5('p' || n)::uuid, 'p' || n, '' FROM generate_series(1, 3) n;
    INSERT INTO prompt_usage (prompt_id, user_id, success, created_at)
    SELECT
        md5('p' || 1 + n % 3)::uuid,
        CASE WHEN n % 7 > 0 THEN md5('u' || 1 + n % 5)::uuid END,
        n % 2 = 0,
        CASE WHEN n % 11 > 0 THEN now() - n % 10 * interval '1 day' - interval '1 second' END
    FROM generate_series(1, 60) n;
    INSERT INTO prompt_usage (prompt_id, user_id, created_at)
    VALUES (md5('p1')::uuid, md5('rare')::uuid, now() - interval '5 days 1 second')
"""
CHANGES = [
    (
        "DELETE FROM prompt_usage WHERE id = (SELECT min(id::text)::uuid FROM prompt_usage"
        " WHERE created_at > now() - interval '2 days')"
    ),
    "UPDATE prompt_usage SET success = NOT success WHERE created_at > now() - interval '3 days'",
    "UPDATE prompt_usage SET prompt_id = md5('p2')::uuid WHERE user_id = md5('rare')::uuid",
    "UPDATE prompt_usage SET created_at = created_at - interval '3 days' WHERE user_id = md5('rare')::uuid",
    "UPDATE prompt_usage SET user_id = md5('new')::uuid WHERE user_id = md5('rare')::uuid",
    (
        "DELETE FROM prompt_usage WHERE user_id = md5('new')::uuid;"
        " INSERT INTO prompt_usage (prompt_id, user_id) VALUES (md5('p3')::uuid, md5('new')::uuid)"
    ),
    "UPDATE prompt_usage SET user_id = NULL WHERE user_id = md5('new')::uuid",
    "DELETE FROM prompt_usage WHERE created_at::date = current_date - 4",
    "DELETE FROM prompt_usage WHERE created_at IS NULL AND user_id = md5('u1')::uuid",
    "UPDATE prompt_usage SET error_message = 'changed'",
]


def live(app: psycopg.Connection) -> None:
    """What was before."""
    app.execute(LIVE.encode())


def changed(database: Database, statement: str) -> None:
    """As an app changes rows."""
    with psycopg.connect(database.conninfo) as app:
        app.execute(statement.encode())


@pytest.mark.parametrize("unsettled", [0, 40])
def test_only_who_may_differ_is_merged(
    counted: Published, lake: str, monkeypatch: pytest.MonkeyPatch, unsettled: int
) -> None:
    monkeypatch.setattr(periods, "UNSETTLED_EVENTS", unsettled)
    monkeypatch.delattr(users, "merging")
    with counted.copy(lake) as database:
        for change in CHANGES:
            changed(database, change)
            refresh(at(database, lake))
            assert_equals_recount(database, FIRST_DAY)


@pytest.mark.parametrize(
    "what", ["many pairs", "many events", "the log is short", "old files are gone", "old files are damaged"]
)
def test_all_are_merged_where_any_may_differ(
    counted: Published, lake: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "many pairs":
        monkeypatch.setattr(users, "PAIRS_MAX", 2)
    if what == "many events":
        monkeypatch.setattr(users, "COMPARED_EVENTS_MAX", 2)
    if what == "the log is short":
        monkeypatch.setattr(delta_table, "LOOK_BACK", 0)
    calls: list[Scan] = []

    def noted(partials: Scan, *order: str) -> Iterator[pa.RecordBatch]:
        calls.append(partials)
        return merging(partials, *order)

    monkeypatch.setattr(users, "merging", noted)
    with counted.copy(lake) as database:
        changed(database, "UPDATE prompt_usage SET success = NOT success")
        if what.startswith("old files"):
            old = files_of(lake, "usage_events")
            sync_days(at(database, lake), plan_refresh(at(database, lake)).days)
            for file in old:
                file.unlink() if what.endswith("gone") else overwrite(file)
        refresh(at(database, lake))
        assert len(calls) == 1
        assert_equals_recount(database, FIRST_DAY)
