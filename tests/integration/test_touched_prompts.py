"""Of most prompts nothing changes between two publishes: only the others are computed, and all are right."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
import psycopg
import pytest
from sqlalchemy import text

from pipeline.database.connections import Database
from pipeline.days import ONE_DAY
from pipeline.engines import rollups
from pipeline.errors import LakeError
from pipeline.publish import copy, publish
from pipeline.publish.progress import Progress, take_progress
from pipeline.publish.values import publish_values
from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount
from tests.published import Published

# Ten prompts, of which the last is used by nobody, on three days.
LIVE = """
    INSERT INTO prompts (id, name, template)
    SELECT md5('p' || n)::uuid, 'p' || n, '' FROM generate_series(0, 9) n;
    INSERT INTO prompt_usage (
        prompt_id, user_id, scene, outfit, success, generation_time_ms, error_message, created_at
    )
    SELECT
        md5('p' || n % 9)::uuid, md5('u' || n % 5)::uuid, 's' || n % 4, CASE WHEN n % 2 = 0 THEN 'coat' END,
        n % 3 = 0, n * 100, CASE WHEN n % 3 > 0 THEN 'out of memory' END, now() - n % 3 * interval '1 day'
    FROM generate_series(1, 90) n
"""
EMPTY_DAY = "DELETE FROM prompt_usage WHERE created_at > now() - interval '12 hours'"
TOUCHING = {
    "new": "INSERT INTO prompt_usage (prompt_id, scene) VALUES (md5('p1')::uuid, 'new')",
    "another": "INSERT INTO prompt_usage (prompt_id, scene) VALUES (gen_random_uuid(), 'new')",
    "used at last": "INSERT INTO prompt_usage (prompt_id, success) VALUES (md5('p9')::uuid, true)",
}
ASIDE = {
    "favourite": (
        "INSERT INTO prompt_favorites (user_id, prompt_id) VALUES (md5('u1')::uuid, md5('p1')::uuid)"
    ),
    "favourite that nobody used": (
        "INSERT INTO prompt_favorites (user_id, prompt_id) VALUES (md5('u1')::uuid, md5('p9')::uuid);"
        " DELETE FROM prompts WHERE id = md5('p9')::uuid"
    ),
    "new prompt": "INSERT INTO prompts (id, name, template) VALUES (gen_random_uuid(), '', '')",
    "unused prompt deleted": "DELETE FROM prompts WHERE id = md5('p9')::uuid",
    "used prompt deleted": "DELETE FROM prompts WHERE id = md5('p1')::uuid",
    "counter of the app's": "UPDATE prompts SET usage_count = 1000, success_rate = NULL",
}


def live(app: psycopg.Connection) -> None:
    """What was before."""
    app.execute(LIVE.encode())


def execute(database: Database, statement: str) -> None:
    """As an app does."""
    with psycopg.connect(database.conninfo) as app:
        app.execute(statement.encode())


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the queries that a publish has run over the partials of all days."""
    run = rollups.run
    names: list[str] = []

    def noted(name: str, *arguments: Any, **inputs: Any) -> pl.DataFrame:
        names.extend([name] if name.startswith("merged_") else [])
        return run(name, *arguments, **inputs)

    monkeypatch.setattr(rollups, "run", noted)
    return names


@pytest.mark.parametrize("listed", [10_000, 0])
@pytest.mark.parametrize("change", TOUCHING.values(), ids=TOUCHING)
def test_only_prompts_with_changed_days_are_computed(
    counted: Published,
    lake: str,
    monkeypatch: pytest.MonkeyPatch,
    computed: list[str],
    change: str,
    listed: int,
) -> None:
    monkeypatch.setattr(copy, "PROMPTS_LISTED", listed)
    with counted.copy(lake) as database:
        execute(database, EMPTY_DAY)
        refresh(at(database, lake))
        # The day has one prompt, and then has it no longer.
        for statement in (change, EMPTY_DAY):
            execute(database, statement)
            computed.clear()
            report = refresh(at(database, lake), users=False)
            assert computed == ["merged_partials", "merged_values"]
            assert report.rows_written["prompt_stats"] <= 3
            refresh(at(database, lake))
            assert_equals_recount(database, FIRST_DAY)


@pytest.mark.parametrize("change", ASIDE.values(), ids=ASIDE)
def test_without_new_events_nothing_is_computed(
    counted: Published, lake: str, computed: list[str], change: str
) -> None:
    with counted.copy(lake) as database:
        execute(database, change)
        refresh(at(database, lake))
        assert computed == []
        assert_equals_recount(database, FIRST_DAY)
        assert not any(refresh(at(database, lake)).rows_written.values())


def test_events_without_a_prompt_count_among_all(counted: Published, lake: str, computed: list[str]) -> None:
    with counted.copy(lake) as database, psycopg.connect(database.conninfo, autocommit=True) as app:
        app.execute("ALTER TABLE prompt_usage ALTER COLUMN prompt_id DROP NOT NULL")
        app.execute(EMPTY_DAY)
        refresh(at(database, lake))
        computed.clear()
        app.execute("INSERT INTO prompt_usage (scene) VALUES ('alone')")
        written = refresh(at(database, lake)).rows_written
        assert (written["scene_stats"], written["prompt_scene_stats"], written["prompt_stats"]) == (1, 0, 0)
        assert computed[:2] == ["merged_partials", "merged_values"]
        row = app.execute("SELECT usage_count FROM scene_stats WHERE scene = 'alone'").fetchone()
        assert row == (1,)


def test_each_day_all_are_computed(counted: Published, lake: str, computed: list[str]) -> None:
    with counted.copy(lake) as database:
        with database.engine.begin() as connection:
            connection.execute(text("UPDATE stats_refresh SET as_of = as_of - interval '1 day'"))
            connection.execute(text("UPDATE prompt_stats SET usage_count_1d = 100"))
        assert refresh(at(database, lake)).rows_written["prompt_stats"]
        assert computed == ["merged_partials"]
        assert_equals_recount(database, FIRST_DAY)


def test_where_a_day_ends_meanwhile_all_are_computed(
    counted: Published, lake: str, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted.copy(lake) as database:

        def tomorrow(*arguments: Any) -> Progress:
            progress = take_progress(*arguments)
            return dataclasses.replace(progress, as_of=progress.as_of + ONE_DAY)

        monkeypatch.setattr(publish, "take_progress", tomorrow)
        refresh(at(database, lake))
        assert computed == ["merged_partials"]
        with psycopg.connect(database.conninfo) as connection:
            row = connection.execute(
                "SELECT sum(usage_count_1d), sum(usage_count_7d) FROM prompt_stats"
            ).fetchone()
        # 30 events on each of the days: today is yesterday by now.
        assert row == (30, 90)


@pytest.mark.parametrize(
    "change",
    [
        "TRUNCATE prompt_stats",
        "DELETE FROM prompt_stats WHERE prompt_id = md5('p1')::uuid",
        "DELETE FROM prompt_scene_stats WHERE scene = 's1'",
        "UPDATE prompt_outfit_stats SET usage_count = usage_count + 1 WHERE prompt_id = md5('p2')::uuid",
        "UPDATE stats_refresh SET stats_version = 1; UPDATE prompt_stats SET p99_generation_time_ms = NULL",
    ],
    ids=["no prompts", "a prompt less", "a scene less", "a count more", "another version's"],
)
def test_what_no_publish_left_so_is_computed_anew(counted: Published, lake: str, change: str) -> None:
    with counted.copy(lake) as database:
        publish_values(at(database, lake))
        before = values_of(database)
        execute(database, change)
        with pytest.raises(LakeError, match="other processes changed"):
            publish_values(at(database, lake))
        assert values_of(database) == before
        refresh(at(database, lake), values=True)
        assert_equals_recount(database, FIRST_DAY)
        assert values_of(database) == before


def values_of(database: Database) -> list[tuple[Any, ...]]:
    """The stats by value."""
    with psycopg.connect(database.conninfo) as app:
        return app.execute("SELECT md5(v::text) FROM prompt_value_stats AS v ORDER BY 1").fetchall()


def test_users_whose_rows_are_gone_already_are_counted(counted: Published, lake: str) -> None:
    with counted.copy(lake) as database:
        # As an erasure that could not publish leaves them.
        execute(database, "DELETE FROM user_prompt_stats WHERE user_id = md5('u1')::uuid")
        execute(database, "DELETE FROM prompt_usage WHERE user_id = md5('u1')::uuid")
        refresh(at(database, lake))
        assert_equals_recount(database, FIRST_DAY)
