"""Rejected events are shown with their reasons, tried again once, and deleted when somebody says so."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.maintenance import rejected
from pipeline.tracking import PromptTracker
from tests.command import answer, prompt_stats

PROMPT_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
EVENTS = 12
UNREADABLE = 7.5


@pytest.fixture
def refused(database: Database) -> Database:
    """Twelve events of a prompt that is not there yet, one with a value that will never do."""
    with PromptTracker(database.conninfo) as tracker:
        for number in range(EVENTS):
            tracker.track_post_creation(prompt_id="later", generation_time_ms=number, success=True)
        tracker.track_post_creation(prompt_id=UNREADABLE)  # type: ignore[arg-type]  # wrong
    return database


def add_prompt(database: Database) -> None:
    """What was missing."""
    with psycopg.connect(database.conninfo) as app:
        app.execute(
            "INSERT INTO prompts (id, slug, name, template) VALUES (%s, 'later', '', '')", (PROMPT_ID,)
        )


def rows(database: Database, statement: str) -> list[Any]:
    """What a statement returns."""
    with psycopg.connect(database.conninfo) as app:
        return app.execute(statement).fetchall()


def test_commands(refused: Database, tmp_path: Path) -> None:
    given = {"DATABASE_URL": refused.conninfo}
    listed = answer(tmp_path, "rejected", "list", "--limit", "2", **given)
    assert listed["count"] == EVENTS + 1
    assert listed["reasons"]["no prompt has the id or slug 'later'"] == EVENTS
    assert len(listed["events"]) == 2
    shown = prompt_stats(tmp_path, "rejected", "list", **given).stdout
    assert "no prompt has the id or slug 'later'" in shown

    first = answer(tmp_path, "rejected", "list", "--limit", "100", **given)["events"][-1]["id"]
    assert answer(tmp_path, "rejected", "discard", str(first), **given) == {"discarded": 1}
    assert answer(tmp_path, "rejected", "replay", "--all", **given) == {"taken": 0, "rejected": EVENTS}
    add_prompt(refused)
    assert answer(tmp_path, "rejected", "replay", "--all", **given) == {"taken": EVENTS - 1, "rejected": 1}
    assert answer(tmp_path, "rejected", "discard", "--all", "--yes", **given) == {"discarded": 1}
    assert prompt_stats(tmp_path, "rejected", "list", **given).stdout.strip() == "No events were rejected."
    for wrong in ([], ["7", "--all"]):
        said = prompt_stats(tmp_path, "rejected", "replay", *wrong, **given)
        assert (said.returncode, "--all" in said.stderr) == (1, True)
    for what in ("replay", "discard"):
        said = prompt_stats(tmp_path, "rejected", what, str(first), str(first), **given)
        assert (said.returncode, "1 of the given ids belong to no rejected event" in said.stderr) == (1, True)


def test_a_replayed_event_keeps_its_id_and_its_time(refused: Database) -> None:
    before = rows(
        refused,
        "SELECT event_id::text, (payload ->> 'created_at')::timestamptz"
        " FROM prompt_usage_rejected WHERE reason LIKE 'no prompt%' ORDER BY 1",
    )
    add_prompt(refused)
    rejected.replay(refused)
    assert rows(refused, "SELECT id::text, created_at FROM prompt_usage ORDER BY 1") == before


def test_what_was_of_no_use_is_of_no_use_when_replayed(database: Database) -> None:
    with PromptTracker(database.conninfo, mode="direct") as tracker:
        for prompt_id in (b"x", object(), "a\0b", {"type": "str"}):
            tracker.track_post_creation(prompt_id=prompt_id)  # type: ignore[arg-type]  # wrong
    shown = [{"type": "bytes", "text": "b'x'"}, {"type": "str", "text": r"a\x00b"}]
    for _ in range(3):
        kept = rows(database, "SELECT payload FROM prompt_usage_rejected")
        payloads = [payload["prompt_id"] for (payload,) in kept]
        assert all(each in payloads for each in shown)
        assert rejected.replay(database) == rejected.ReplayReport(taken=0, rejected=4)


def test_a_replay_in_parts_takes_each_event_once(refused: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejected, "EVENTS_PER_BATCH", 5)
    assert rejected.replay(refused) == rejected.ReplayReport(taken=0, rejected=EVENTS + 1)
    add_prompt(refused)
    assert rejected.replay(refused) == rejected.ReplayReport(taken=EVENTS, rejected=1)
    assert len(rows(refused, "SELECT FROM prompt_usage")) == EVENTS


def test_a_deferred_constraint_keeps_no_other_event_out(refused: Database) -> None:
    add_prompt(refused)
    with psycopg.connect(refused.conninfo) as app:
        app.execute("CREATE TABLE times AS SELECT 3 AS ms")
        app.execute("ALTER TABLE times ADD PRIMARY KEY (ms)")
        app.execute(
            "ALTER TABLE prompt_usage ADD FOREIGN KEY (generation_time_ms) REFERENCES times"
            " DEFERRABLE INITIALLY DEFERRED"
        )
    assert rejected.replay(refused) == rejected.ReplayReport(taken=1, rejected=EVENTS)
    assert rows(refused, "SELECT generation_time_ms FROM prompt_usage") == [(3,)]


def test_an_event_that_was_taken_meanwhile_counts_once(refused: Database) -> None:
    add_prompt(refused)
    [(event_id,), *_] = rows(refused, "SELECT event_id FROM prompt_usage_rejected ORDER BY id")
    with PromptTracker(refused.conninfo) as tracker:
        tracker.track_post_creation(prompt_id="later", event_id=event_id)
    assert rejected.replay(refused).taken == EVENTS
    assert len(rows(refused, "SELECT FROM prompt_usage")) == EVENTS


@pytest.mark.parametrize(
    "stop",
    [
        "ALTER TABLE prompt_usage RENAME TO elsewhere",
        """
        CREATE FUNCTION app_check() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM * FROM no_such_table; RETURN NEW; END $$;
        CREATE TRIGGER app_check BEFORE INSERT ON prompt_usage FOR EACH ROW EXECUTE FUNCTION app_check()
        """,
    ],
    ids=["no table", "a broken trigger"],
)
def test_a_replay_that_the_database_stops_loses_nothing(refused: Database, stop: str) -> None:
    add_prompt(refused)
    with psycopg.connect(refused.conninfo) as app:
        # Most of them never reach the table: they must not stand for it.
        app.execute(
            "INSERT INTO prompt_usage_rejected (event_id, reason, payload)"
            " SELECT gen_random_uuid(), reason, jsonb_set(payload, '{prompt_id}', wrong.prompt_id)"
            " FROM prompt_usage_rejected, (VALUES ('\"nobody\"'::jsonb), ('7.5')) AS wrong (prompt_id),"
            " generate_series(1, 10)"
        )
        app.execute(stop)
    rows_before = rows(refused, "SELECT * FROM prompt_usage_rejected ORDER BY id")
    with pytest.raises(psycopg.errors.UndefinedTable):
        rejected.replay(refused)
    assert rows(refused, "SELECT * FROM prompt_usage_rejected ORDER BY id") == rows_before


HOSTILE = {
    "a long number": "1" * 5_000,
    "a deep nest": "[" * 3_000 + "]" * 3_000,
    "a deep object": '{"a": ' * 2_000 + "1" + "}" * 2_000,
    "a long text": '"' + "x" * 200_000 + '"',
    "no object": "7",
}


def put(app: psycopg.Connection[Any], payload: str) -> None:
    """As the app's role may: past all that the tracker does."""
    app.execute(
        "INSERT INTO prompt_usage_rejected (reason, payload) VALUES ('forged', %s::jsonb)", (payload,)
    )


def test_a_payload_that_python_can_not_read_stops_no_other(refused: Database, tmp_path: Path) -> None:
    given = {"DATABASE_URL": refused.conninfo}
    event_id = uuid.uuid4()
    with psycopg.connect(refused.conninfo) as app:
        for payload in HOSTILE.values():
            put(app, payload)
            put(app, f'{{"event_id": "{event_id}", "prompt_id": "later", "scene": {payload}}}')
        app.execute("UPDATE prompt_usage_rejected SET reason = repeat('x', 1000000) WHERE payload = '7'")
    hostile = 2 * len(HOSTILE)
    listed = answer(tmp_path, "rejected", "list", "--limit", "100", **given)
    assert len(listed["events"]) == EVENTS + 1 + hostile
    assert len(json.dumps(listed)) < 200_000
    assert prompt_stats(tmp_path, "rejected", "list", **given).returncode == 0

    add_prompt(refused)
    # Those with the same id are one event; what is nested too deep hides its own.
    nests = sum(name.startswith("a deep") for name in HOSTILE)
    still = len(HOSTILE) + nests + 1
    taken = {"taken": EVENTS + len(HOSTILE) - nests, "rejected": still}
    assert answer(tmp_path, "rejected", "replay", "--all", **given) == taken
    assert len(rows(refused, "SELECT FROM prompt_usage")) == EVENTS + 1
    reasons = [reason for (reason,) in rows(refused, "SELECT reason FROM prompt_usage_rejected")]
    assert sum("prompt_id is missing" in reason for reason in reasons) == len(HOSTILE) + nests
    # But for the long number, which is read as an object that says what it is.
    assert sum("payload is no JSON object" in reason for reason in reasons) == len(HOSTILE) + nests - 1
    again = {"taken": 0, "rejected": still}
    assert answer(tmp_path, "rejected", "replay", "--all", **given) == again
    with psycopg.connect(refused.conninfo) as app:
        for payload in HOSTILE.values():
            put(app, payload)
    assert answer(tmp_path, "rejected", "discard", "--all", "--yes", **given) == {
        "discarded": still + len(HOSTILE)
    }


def test_a_journal_can_be_sent_without_its_app(database: Database, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with PromptTracker("postgresql://app@127.0.0.1:1/app", journal_dir=journal) as tracker:
        for _ in range(7):
            tracker.track_post_creation(prompt_id=PROMPT_ID)
        tracker.close(0)
    given = {"DATABASE_URL": database.conninfo, "PROMPT_STATS_JOURNAL_DIR": str(journal)}
    assert answer(tmp_path, "send-journal", **given) == {
        "written": 7,
        "rejected": 0,
        "waiting": 0,
        "unreadable": 0,
        "damage": None,
    }
    assert answer(tmp_path, "send-journal", str(journal), **given)["written"] == 0
    assert len(rows(database, "SELECT FROM prompt_usage")) == 7
    missing = prompt_stats(tmp_path, "send-journal", str(tmp_path / "none"), **given)
    assert (missing.returncode, "is not a folder" in missing.stderr) == (1, True)
