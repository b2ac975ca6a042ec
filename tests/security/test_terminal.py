"""Texts of an app, its users and other sessions are shown by every command as they are, and never obeyed."""

from __future__ import annotations

import io
import json
import logging
import re
import time
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb
from rich.table import Table

from pipeline.cli import context
from pipeline.cli.terminal import LogLines, Terminal
from pipeline.database.connections import Database
from pipeline.formats import JOINERS, visible
from pipeline.refresh import refresh
from tests.app import at
from tests.command import prompt_stats
from tests.conftest import NewDatabase
from tests.security.texts import HOSTILE, LITERALLY, MARKUP

PROMPT = uuid.UUID(int=1)

SESSION = "[wip] [/x] :fire: [link=http://e.example]c[/link]"
"""As long as Postgres lets an application's name be, and in ASCII, as it has them."""

OURS = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|2K|1A)|\r")
"""What rich writes itself: colours, and those of a line that it writes anew."""

OBEYED = {"Cc", "Cf", "Zl", "Zp"}

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "3000"}


def add_hostile_rows(app: psycopg.Connection[Any]) -> None:
    app.execute(
        "INSERT INTO prompts (id, name, category, template, usage_count, is_active)"
        " VALUES (%s, %s, %s, '', 7, true)",
        (PROMPT, HOSTILE, HOSTILE),
    )
    app.execute(
        "INSERT INTO prompt_usage (prompt_id, scene, success, error_message) VALUES (%s, %s, false, %s)",
        (PROMPT, HOSTILE, HOSTILE),
    )
    app.execute(
        "INSERT INTO prompt_usage_rejected (event_id, reason, payload)"
        " VALUES (gen_random_uuid(), %s, %s), (gen_random_uuid(), 'no object', '[1]')",
        (HOSTILE, Jsonb({"prompt_id": HOSTILE})),
    )
    app.execute(
        "INSERT INTO stats_alerts (rule, scope, scene, state, severity, window_hours, recent_count,"
        " recent_value, past_count, past_value, as_of, evaluated_at, raised_at)"
        " VALUES ('usage', 'scene', %s, 'ALERT', 'ALERT', 6, 0, 0, 500, 60, now(), now(), now())",
        (HOSTILE,),
    )
    app.execute(
        "INSERT INTO stats_alert_evaluation (evaluated_at, as_of, tested_count, raised_count)"
        " VALUES (now(), now(), 1, 1)"
    )


@pytest.fixture(scope="module")
def hostile(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Path]]:
    """A database full of such texts, with an open session of such a name; and a home with its lake."""
    with new_database(migrated_template) as database:
        home = tmp_path_factory.mktemp("home")
        with psycopg.connect(database.conninfo) as app:
            add_hostile_rows(app)
        refresh(at(database, str(home / "lake")))
        with psycopg.connect(make_conninfo(database.conninfo, application_name=SESSION)) as writer:
            writer.execute("INSERT INTO prompt_usage (prompt_id) VALUES (%s)", (PROMPT,))
            yield database, home
            writer.rollback()


def assert_nothing_obeyed(screen: str) -> None:
    """Nothing on it but what is seen, and what rich writes itself."""
    left = OURS.sub("", screen)
    assert [each for each in left if unicodedata.category(each) in OBEYED and each != "\n"] == []
    assert "Traceback" not in left
    # Its style, were it obeyed as markup, or its colour.
    assert "]8;" not in left
    assert "\x1b[38;5;201m" not in screen


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["top"], LITERALLY),
        (["show", str(PROMPT)], LITERALLY),
        (["status"], [SESSION]),
        (["alerts"], LITERALLY),
        (["drift"], LITERALLY),
        (["check"], []),
        (["doctor"], []),
        (["rejected", "list"], LITERALLY),
        (["migrate", "--plan"], []),
        (["refresh"], [SESSION]),
        (["show", MARKUP], [MARKUP]),
        (["show", HOSTILE], []),
        (["export", HOSTILE], []),
        (["seed-prompts", f"/nowhere/{HOSTILE}"], LITERALLY[:-1]),
        (["send-journal", f"/nowhere/{HOSTILE}"], LITERALLY[:-1]),
        (["rejected", "replay", "--all"], []),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else "",
)
def test_a_command_shows_texts_as_they_are(
    hostile: tuple[Database, Path], command: list[str], shown: list[str]
) -> None:
    database, home = hostile
    done = prompt_stats(home, *command, DATABASE_URL=database.conninfo, **TERMINAL)
    assert_nothing_obeyed(done.stdout + done.stderr)
    plain = OURS.sub("", done.stdout + done.stderr)
    assert [part for part in shown if part not in plain] == []


@pytest.mark.parametrize("command", ["top", "show", "status", "alerts", "drift", "rejected"])
def test_json_is_the_texts_themselves_and_nothing_in_it_is_obeyed(
    hostile: tuple[Database, Path], command: str
) -> None:
    database, home = hostile
    arguments = {"show": ["show", str(PROMPT)], "rejected": ["rejected", "list"]}.get(command, [command])
    narrow = {**TERMINAL, "COLUMNS": "20"}
    done = prompt_stats(home, *arguments, "--json", DATABASE_URL=database.conninfo, **narrow)
    assert (done.returncode, done.stderr) == (0, "")
    assert_nothing_obeyed(done.stdout)
    texts = json.dumps(json.loads(OURS.sub("", done.stdout)))
    assert json.dumps(SESSION if command == "status" else HOSTILE) in texts


ANY_HOSTILE = st.sampled_from([HOSTILE, *HOSTILE.split()])
ANY = st.text(max_size=30) | ANY_HOSTILE


@given(ANY)
def test_a_visible_text_is_one_line_of_which_nothing_is_lost(text: str) -> None:
    line = visible(text)
    assert len(line.splitlines()) <= 1
    assert not [
        each
        for each in line
        if unicodedata.category(each)[0] == "C"
        and each not in JOINERS
        and unicodedata.category(each) not in {"Co", "Cn"}
    ]
    assert visible(line) == line
    if text.isprintable():
        assert line == text
    # What was escaped reads back, where the text had no escapes of its own.
    if "\\" not in text:
        codes = re.compile(r"\\(?:[nrt]|x..|u....|U........)")
        assert codes.sub(lambda found: found[0].encode().decode("unicode_escape"), line) == text


@given(st.text(st.characters(exclude_categories=("Cn", "Cs", "Me", "Mn", "Sk")), max_size=30) | ANY_HOSTILE)
def test_text_is_shown_literally_wherever_it_stands(text: str) -> None:
    # But for marks, for which alone a table has no room.
    file = io.StringIO()
    terminal = Terminal(file, force_terminal=True, width=3000, legacy_windows=False)
    table = Table(title=text, caption=text)
    table.add_column(text)
    table.add_row(text)
    terminal.print(text, markup=True, emoji=True)
    terminal.print(table)
    screen = OURS.sub("", file.getvalue())
    assert_nothing_obeyed(file.getvalue())
    assert screen.count(visible(text).strip()) >= 5 or not visible(text).strip()


def test_what_goes_on_is_shown_literally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    file = io.StringIO()
    terminal = Terminal(file, force_terminal=True, width=3000, legacy_windows=False)
    monkeypatch.setattr(context, "messages", terminal)
    logger = logging.getLogger("pipeline.lake")
    with context.working(MARKUP) as spinner:
        logger.info("[/x] %s", "\x1b[2Jsaid")
        spinner.update(HOSTILE)
        spinner.update("[/x] \x1b[2J")
    with context.refreshing(HOSTILE):
        logger.info("[/x] %s", "\x1b[2Jsaid")
        time.sleep(0.2)
    with context.progress_bar(HOSTILE) as advance:
        advance(1, 2)
    assert_nothing_obeyed(file.getvalue())
    screen = OURS.sub("", file.getvalue())
    assert all(part in screen for part in LITERALLY)
    assert r"[/x] \x1b[2Jsaid" in screen


def test_a_line_of_the_log_is_forged_by_no_text() -> None:
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    handler.setFormatter(LogLines())
    logger = logging.Logger("pipeline.somewhere")
    logger.addHandler(handler)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("failed: %s", HOSTILE)
    first, *others = file.getvalue().splitlines()
    assert first == f"failed: {visible(HOSTILE)}"
    assert all(line.startswith("    ") for line in others)
    assert_nothing_obeyed(file.getvalue().replace("Traceback", ""))
