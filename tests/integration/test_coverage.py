"""Posts without an event are found, and become events once, whatever else happens to them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.errors import DatabaseError
from pipeline.maintenance.coverage import look_for_missing, track_missing
from pipeline.maintenance.retention import retain
from pipeline.refresh import refresh
from pipeline.tracking import PromptTracker
from tests.app import at
from tests.command import answer
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount

PROMPT = uuid.UUID(int=1)
USER = uuid.UUID(int=1001)
MADE_AT = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(days=3)


@pytest.fixture
def app(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The app's database, with one prompt."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute("INSERT INTO prompts (id, name, template) VALUES (%s, 'n', 't')", (PROMPT,))
        yield connection


def add_post(app: psycopg.Connection[Any], **values: Any) -> uuid.UUID:
    """A post made from the prompt three days ago."""
    post_id = uuid.uuid4()
    row = {"id": post_id, "prompt_id": PROMPT, "user_id": USER, "created_at": MADE_AT, **values}
    columns = ", ".join(row)
    app.execute(f"INSERT INTO posts ({columns}) VALUES ({', '.join(['%s'] * len(row))})", [*row.values()])
    return post_id


def track(database: Database, post_id: uuid.UUID | None = None, **values: Any) -> None:
    with PromptTracker(database.conninfo, mode="direct") as tracker:
        tracker.track_post_creation(post_id=post_id, prompt_id=PROMPT, **values)


def test_a_post_without_an_event_becomes_one_once(
    database: Database, lake: str, app: psycopg.Connection[Any]
) -> None:
    track(database, add_post(app), success=True)
    lost = add_post(app, scene="cafe", image_url="https://example.com/1.png")
    unknown = add_post(app, created_at=MADE_AT + dt.timedelta(hours=1))
    add_post(app, prompt_id=None)
    young = add_post(app, created_at=dt.datetime.now(dt.UTC))
    report = track_missing(at(database, lake))
    assert (report.posts, report.missing, report.tracked, report.rejected) == (3, 2, 2, 0)
    assert (report.first_at, report.last_at) == (MADE_AT, MADE_AT + dt.timedelta(hours=1))
    rows = app.execute(
        "SELECT post_id, prompt_id, user_id, scene, success, created_at FROM prompt_usage"
        " WHERE post_id <> ALL(%s) ORDER BY created_at",
        ([young],),
    ).fetchall()
    assert set(rows) >= {
        (lost, PROMPT, USER, "cafe", True, MADE_AT),
        (unknown, PROMPT, USER, None, None, MADE_AT + dt.timedelta(hours=1)),
    }
    assert len(rows) == 3
    assert_equals_recount(database, FIRST_DAY)

    again = track_missing(at(database, lake))
    assert (again.posts, again.missing, again.tracked) == (3, 0, 0)


def test_events_that_the_lake_alone_has_are_no_less_events(
    database: Database, lake: str, app: psycopg.Connection[Any]
) -> None:
    track(database, add_post(app), created_at=MADE_AT)
    add_post(app)
    assert track_missing(at(database, lake)).tracked == 1
    assert retain(at(database, lake), 1).rows == 2
    assert track_missing(at(database, lake)).missing == 0


def test_events_that_the_lake_can_not_have_are_no_less_events(
    database: Database, lake: str, app: psycopg.Connection[Any]
) -> None:
    refresh(at(database, lake))
    track(database, add_post(app))
    track(database, add_post(app), created_at=dt.datetime.now(dt.UTC) + dt.timedelta(days=5))
    track(database, add_post(app), generation_time_ms=-1)
    with psycopg.connect(database.conninfo) as slow:
        # Open: the watermark stays below what commits meanwhile.
        slow.execute("INSERT INTO prompt_usage (prompt_id) VALUES (%s)", (PROMPT,))
        track(database, add_post(app))
        assert look_for_missing(at(database, lake)).missing == 0
        assert track_missing(at(database, lake)).missing == 0


def test_a_prompt_that_is_gone_is_counted_as_any_other(
    database: Database, lake: str, app: psycopg.Connection[Any]
) -> None:
    add_post(app, prompt_id=uuid.UUID(int=404))
    assert track_missing(at(database, lake)).tracked == 1
    assert_equals_recount(database, FIRST_DAY)


def test_what_can_not_be_an_event_is_kept_and_not_tried_again(
    database: Database, lake: str, app: psycopg.Connection[Any]
) -> None:
    app.execute("ALTER TABLE prompt_usage ADD CHECK (scene <> 'forbidden')")
    add_post(app, scene="forbidden")
    report = track_missing(at(database, lake))
    assert (report.missing, report.tracked, report.rejected) == (1, 0, 1)
    assert track_missing(at(database, lake)).missing == 0


def test_nothing_is_missing_before_anything_was_counted(database: Database, lake: str) -> None:
    with pytest.raises(DatabaseError, match="nothing has been published yet"):
        look_for_missing(at(database, lake))


def test_the_command(database: Database, lake: str, app: psycopg.Connection[Any], tmp_path: Path) -> None:
    add_post(app)
    environment = {"DATABASE_URL": database.conninfo, "PROMPT_STATS_LAKE_URI": lake}
    refresh(at(database, lake))
    expected: dict[str, Any] = {"posts": 1, "missing": 1, "tracked": 0, "rejected": 0}
    expected |= dict.fromkeys(("first_at", "last_at"), MADE_AT.isoformat())
    assert answer(tmp_path, "track-missing", "--dry-run", **environment) == expected
    assert answer(tmp_path, "track-missing", **environment) == {**expected, "tracked": 1}
