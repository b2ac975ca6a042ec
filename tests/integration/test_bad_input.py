"""What a user may get wrong: each has a clear answer, no traceback, and exit code 1 or 2."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path

import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.tracking import PromptTracker
from tests.command import answer, prompt_stats

SECRET = "sesame"  # noqa: S105  the test looks for it in what is printed


def refused(done: object, *words: str) -> None:
    """The command failed and its text has these words."""
    assert getattr(done, "returncode", 0) in (1, 2)
    said = " ".join(getattr(done, "stderr", "").split())
    assert "Traceback" not in said
    assert SECRET not in said
    for word in words:
        assert word in said, said


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that nothing needs."""
    return tmp_path / "home"


def test_unreachable_database(home: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://user:{SECRET}@127.0.0.1:{closed.getsockname()[1]}/app"
        refused(prompt_stats(home, "status", DATABASE_URL=url), "Connecting to the database", "DATABASE_URL")


def test_wrong_password(home: Path, database: Database) -> None:
    url = psycopg.conninfo.make_conninfo(database.conninfo, password=SECRET)
    refused(prompt_stats(home, "status", DATABASE_URL=url), "password authentication failed")


@pytest.mark.parametrize(
    "url", [f"mysql://user:{SECRET}@host/app", f"not a {SECRET} url", "postgresql://[::1"]
)
def test_wrong_database_url(home: Path, url: str) -> None:
    refused(prompt_stats(home, "status", DATABASE_URL=url), "DATABASE_URL")


def test_database_without_the_schema(home: Path, empty_database: Database) -> None:
    done = prompt_stats(home, "status", DATABASE_URL=empty_database.conninfo)
    refused(done, "Run: prompt-stats migrate")


def test_too_old_database(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    # No binaries of PostgreSQL 12 can be had here, so the bound moves instead of the server.
    monkeypatch.setattr("pipeline.database.connections.MINIMUM_VERSION", 99)
    with pytest.raises(Exception, match="the oldest supported version is 99"):
        Database.from_url(database.conninfo)


def test_unknown_prompt(home: Path, database: Database) -> None:
    answer(home, "seed-prompts", DATABASE_URL=database.conninfo)
    done = prompt_stats(home, "show", "portrait-selfie-casul", DATABASE_URL=database.conninfo)
    refused(done, "portrait-selfie-casul", "Did you mean portrait-selfie-casual")


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-02-02", "2026-02-01", "ends before it begins"),
        ("2026-02-02", "2999-01-01", "ends in the future"),
        ("2020-01-01", "2026-02-01", "the first partition is 2025-01-01"),
        ("yesterday", "2026-02-01", "does not match"),
    ],
)
def test_wrong_range(home: Path, database: Database, first: str, last: str, words: str) -> None:
    done = prompt_stats(home, "backfill", "--from", first, "--to", last, DATABASE_URL=database.conninfo)
    refused(done, words)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many"])
def test_wrong_limit(home: Path, database: Database, limit: str) -> None:
    done = prompt_stats(home, "top", "--limit", limit, DATABASE_URL=database.conninfo)
    refused(done, "limit")


def test_wrong_start_date(home: Path, database: Database) -> None:
    done = prompt_stats(
        home, "status", DATABASE_URL=database.conninfo, PROMPT_STATS_START_DATE="the beginning"
    )
    refused(done, "PROMPT_STATS_START_DATE", "the beginning")


def test_unwritable_lake(home: Path, database: Database, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = prompt_stats(
        home, "refresh", DATABASE_URL=database.conninfo, PROMPT_STATS_LAKE_URI=str(file / "lake")
    )
    refused(done, "PROMPT_STATS_LAKE_URI")


def test_unknown_command(home: Path) -> None:
    refused(prompt_stats(home, "refrehs"), "refresh")


def test_demo_does_not_touch_a_database_in_use(home: Path, database: Database) -> None:
    with psycopg.connect(database.conninfo) as app:
        app.execute("INSERT INTO prompt_usage (prompt_id) VALUES (%s)", (uuid.uuid4(),))
    refused(prompt_stats(home, "demo", DATABASE_URL=database.conninfo), "Unset DATABASE_URL")


def test_events_that_could_not_be_taken_are_shown(home: Path, database: Database) -> None:
    with PromptTracker(database.conninfo) as tracker:
        tracker.track_post_creation(prompt_id="no-such-prompt", success=True)
        tracker.track_post_creation(prompt_id="nor-this-one", generation_time_ms=-1)
        # A detail that is flawed is left out, and the event counts.
        tracker.track_post_creation(prompt_id=uuid.uuid4(), generation_time_ms=10**12)
    assert answer(home, "status", DATABASE_URL=database.conninfo)["rejected_count"] == 2
