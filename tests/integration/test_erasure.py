"""A person is erased from Postgres, from the lake with its old files, and from the stats."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from pathlib import Path
from typing import NoReturn

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.database.connections import Database
from pipeline.errors import DatabaseError, InputError, PromptStatsError
from pipeline.lake.upkeep import FORMER_TABLES, compact
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.erasure.account import Step, listed
from pipeline.maintenance.erasure.person import Person
from pipeline.maintenance.retention import retain
from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount

NOW = dt.datetime.now(dt.UTC)
ONE_DAY = dt.timedelta(days=1)
PROMPT = uuid.UUID(int=7)
PERSON, OTHER = uuid.uuid4(), uuid.uuid4()

INSERT = "INSERT INTO prompt_usage (prompt_id, user_id, success, created_at) VALUES (%s, %s, true, %s)"


def append(database: Database, lake: str, ages: tuple[int, ...] = (0, 1, 9, 40)) -> None:
    """An event of the person, of another and of nobody a day, published."""
    with psycopg.connect(database.conninfo) as app:
        for age in ages:
            for user in (PERSON, OTHER, None):
                app.execute(INSERT, (PROMPT, user, NOW - age * ONE_DAY))
        app.execute(
            "INSERT INTO prompt_favorites (prompt_id, user_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (PROMPT, PERSON),
        )
        app.execute(
            "INSERT INTO prompt_usage_rejected (reason, payload) VALUES ('x', %s)",
            (f'{{"user_id": "{PERSON}"}}',),
        )
    refresh(at(database, lake))


def test_erased_user_is_nowhere(database: Database, lake: str) -> None:
    append(database, lake)
    append(database, lake)
    compact(at(database, lake))
    former = Path(lake, *FORMER_TABLES, f"day={NOW.date()}", "part.parquet")
    former.parent.mkdir(parents=True)
    pq.write_table(pa.table({"dimension": ["user"], "value": [str(PERSON)]}), former)
    report = erase_user(at(database, lake), str(PERSON).upper())
    assert not Path(lake, *FORMER_TABLES).exists()
    assert report.rows == {"prompt_usage": 8, "prompt_favorites": 1, "prompt_usage_rejected": 2}
    assert report.events == 8
    assert (report.found, report.left_to_app) == ({}, {})
    assert_equals_recount(database, FIRST_DAY)
    again = erase_user(at(database, lake), str(PERSON))
    assert (set(again.rows.values()), again.events, again.found) == ({0}, 0, {})


def test_an_erasure_that_fails_half_way_says_what_was_done(database: Database, lake: str) -> None:
    append(database, lake)
    with psycopg.connect(database.conninfo, autocommit=True) as app:
        app.execute("ALTER TABLE prompt_stats RENAME TO elsewhere")
        with pytest.raises(DatabaseError) as caught:
            erase_user(at(database, lake), str(PERSON))
        count = app.execute("SELECT count(*) FROM prompt_usage WHERE user_id = %s", [PERSON]).fetchone()
        app.execute("ALTER TABLE elsewhere RENAME TO prompt_stats")
    done = [Step.JOURNAL, Step.ROWS, Step.LAKE]
    left = [step for step in Step if step not in {*done, Step.STATS}]
    said = caught.value.wrong
    assert 'relation "prompt_stats" does not exist' in said
    assert (
        f"this may be done in part: {Step.STATS.value}; done: {listed(done)}; not done: {listed(left)}"
        in said
    )
    assert count == (0,)
    # What was done stays done, and the rest is made up for.
    report = erase_user(at(database, lake), str(PERSON))
    assert (set(report.rows.values()), report.found) == ({0}, {})
    assert_equals_recount(database, FIRST_DAY)


def test_an_erasure_that_ctrl_c_ends_says_what_was_done(database: Database, lake: str) -> None:
    def interrupted(_: Person) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(PromptStatsError, match=f"interrupted. So .* in part: {Step.SEARCH.value}; done: "):
        erase_user(at(database, lake), str(PERSON), searches=[interrupted])


def test_the_search_finds_what_is_left(database: Database, lake: str) -> None:
    append(database, lake)
    with psycopg.connect(database.conninfo) as app:
        app.execute("INSERT INTO posts (user_id) VALUES (%s)", (PERSON,))
        app.execute(
            "INSERT INTO prompt_usage (prompt_id, user_id, error_message) VALUES (%s, %s, %s)",
            (PROMPT, OTHER, f"{PERSON} is blocked"),
        )
    report = erase_user(at(database, lake), str(PERSON))
    assert report.left_to_app == {"posts": 1}
    assert report.found.pop("prompt_usage") == 1
    assert len(report.found) == 1
    assert next(iter(report.found)).endswith(".parquet")


def test_expired_days_are_erased_too(database: Database, lake: str) -> None:
    append(database, lake)
    retain(at(database, lake), days=5)
    report = erase_user(at(database, lake), str(PERSON))
    assert (report.rows["prompt_usage"], report.events, report.found) == (2, 4, {})
    assert refresh(at(database, lake)).usage_count == 8
    with psycopg.connect(database.conninfo) as connection:
        rows = connection.execute("SELECT user_id, usage_count FROM user_prompt_stats").fetchall()
        expired = connection.execute("SELECT sum(usage_count)::int FROM stats_expired_day").fetchone()
    assert (rows, expired) == ([(OTHER, 4)], (4,))


def test_days_that_can_not_be_read_do_not_hold_up_the_rest(
    database: Database, lake: str, tmp_path: Path
) -> None:
    append(database, lake)
    retain(at(database, lake), days=5)
    recent, expired = (NOW.date() - age * ONE_DAY for age in (1, 40))
    backup = tmp_path / "backup"
    shutil.copytree(Path(lake, "usage_events", f"day={expired}"), backup)
    for day in (recent, expired):
        for file in Path(lake, "usage_events", f"day={day}").iterdir():
            file.unlink()

    report = erase_user(at(database, lake), str(PERSON))

    assert list(report.unread) == [
        "prompt_value_stats",
        "prompt_value_error_stats",
        f"{expired} of usage_events",
    ]
    assert report.rows["prompt_usage"] == 2
    with psycopg.connect(database.conninfo) as app:
        # The lost day's partials still count the person's event, and the others of the day.
        assert app.execute("SELECT usage_count FROM scene_stats").fetchall() == [(9,)]
    shutil.copytree(backup, Path(lake, "usage_events", f"day={expired}"), dirs_exist_ok=True)
    again = erase_user(at(database, lake), str(PERSON))
    assert (again.unread, again.found, again.events) == ({}, {}, 1)
    assert refresh(at(database, lake)).usage_count == 8


def test_person_with_all_events_of_a_month_leaves_no_partial(database: Database, lake: str) -> None:
    with psycopg.connect(database.conninfo) as app:
        app.execute(INSERT, (PROMPT, PERSON, NOW - 70 * ONE_DAY))
    refresh(at(database, lake))
    assert erase_user(at(database, lake), str(PERSON)).found == {}
    assert_equals_recount(database, FIRST_DAY)


def test_what_is_no_id_is_refused(database: Database, lake: str) -> None:
    with pytest.raises(InputError, match="not a UUID"):
        erase_user(at(database, lake), "%")
