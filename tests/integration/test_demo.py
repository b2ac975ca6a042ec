"""The README's promise: from nothing to a table and a picture, with numbers that are true."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.database.connections import Database
from pipeline.database.embedded import client
from tests import command
from tests.oracle import assert_equals_recount

SLUG = "portrait-selfie-casual"

FIRST_DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=40)
"""Before the demo's first event. Dagster notes every day since, which takes longer than the work."""

START = {"PROMPT_STATS_START_DATE": FIRST_DAY.isoformat()}


def prompt_stats(home: Path, *arguments: str) -> Any:
    """How a command ended."""
    return command.prompt_stats(home, *arguments, **START)


def answer(home: Path, *arguments: str) -> Any:
    """The JSON that a command prints."""
    return command.answer(home, *arguments, **START)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home on which the demo was run."""
    home = tmp_path_factory.mktemp("demo") / "a home"
    # Held here, the server stays up between the commands of the tests.
    client.start(home)
    done = prompt_stats(home, "demo")
    assert done.returncode == 0, done.stderr
    assert SLUG in done.stdout
    assert "report.html" in done.stdout
    return home


def test_demo_ends_with_true_numbers(home: Path) -> None:
    database = Database.from_url(client.start(home))
    assert_equals_recount(database, FIRST_DAY)
    database.close()


def test_report_is_one_page_that_asks_nobody(home: Path) -> None:
    page = (home / "report.html").read_text()
    assert SLUG in page
    assert "default-src 'none'; script-src 'unsafe-inline' data:;" in page


def test_status_says_as_of_when(home: Path) -> None:
    status = answer(home, "status")
    assert status["usage_count"] == 200_004
    assert status["lag_seconds"] > 0
    assert status["stale_days"] == []
    assert status["pending_days"] == []


def test_top_and_show_agree(home: Path) -> None:
    top = answer(home, "top", "--limit", "24")
    assert sum(prompt["usage_count"] for prompt in top["prompts"]) == 200_004
    shown = answer(home, "show", SLUG)
    ranked = next(prompt for prompt in top["prompts"] if prompt["slug"] == SLUG)
    assert {key: shown[key] for key in ranked} == ranked
    assert sum(scene["usage_count"] for scene in shown["scenes"]) == shown["usage_count"]
    assert len(shown["days"]) == 14
    assert answer(home, "show", shown["id"])["slug"] == SLUG


def test_show_draws_the_days(home: Path) -> None:
    shown = prompt_stats(home, "show", SLUG).stdout
    assert "Last 14 days" in shown
    assert "█" in shown


def test_simulated_events_are_counted_by_the_next_refresh(home: Path) -> None:
    before = answer(home, "status")["usage_count"]
    answer(home, "simulate", "--events", "1000", "--days", "2", "--seed", "7")
    refreshed = answer(home, "refresh")
    assert refreshed["usage_count"] == before + 1000


def test_a_refresh_with_nothing_new_says_so_without_dagster(home: Path) -> None:
    before = answer(home, "refresh")
    liked = answer(home, "show", SLUG)["favorite_count"]
    favorite = f"""import psycopg; psycopg.connect(autocommit=True).execute(
        "INSERT INTO prompt_favorites (prompt_id, user_id) SELECT id, id FROM prompts WHERE slug = '{SLUG}'"
    )"""
    added = prompt_stats(home, "exec", sys.executable, "-c", favorite)
    assert added.returncode == 0, added.stderr
    # In a process of its own: what it imports is what it costs.
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", "refresh", "--json"],
        env=command.environment(home, **START),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    imported = set(re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE))
    assert "polars" in imported
    assert imported & {"dagster", "alembic"} == set()
    refreshed = json.loads(done.stdout)
    assert refreshed["ranges"] == []
    assert refreshed["as_of"] > before["as_of"]
    assert refreshed["user_stats_as_of"] == refreshed["value_stats_as_of"] == refreshed["as_of"]
    assert answer(home, "show", SLUG)["favorite_count"] == liked + 1


def test_backfill_reads_a_range_again(home: Path) -> None:
    days = [day["day"] for day in answer(home, "show", SLUG)["days"]]
    before = answer(home, "status")["usage_count"]
    answered = answer(home, "backfill", "--from", days[0], "--to", days[-1])
    assert answered["ranges"] == [{"first": days[0], "last": days[-1]}]
    assert answered["usage_count"] == before


def test_another_program_reaches_the_embedded_server(home: Path) -> None:
    program = "import psycopg; print(psycopg.connect().execute('SELECT count(*) FROM prompts').fetchone()[0])"
    ran = prompt_stats(home, "exec", sys.executable, "-c", program)
    assert (ran.returncode, ran.stdout) == (0, "24\n"), ran.stderr
    assert prompt_stats(home, "exec", sys.executable, "-c", "raise SystemExit(3)").returncode == 3
    # Of the server's version, whatever this system has.
    dumped = prompt_stats(home, "exec", "pg_dump", "--schema-only", "--table=prompts")
    assert "CREATE TABLE public.prompts" in dumped.stdout, dumped.stderr
    missing = prompt_stats(home, "exec", "no-such-program", "--help")
    assert (missing.returncode, "no such file" in missing.stderr) == (1, True)
