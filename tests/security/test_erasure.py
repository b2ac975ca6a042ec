"""An erased person is nowhere, however the id was spelled; and where something is left, it is said."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.types.json import Jsonb

from pipeline.adoption.schema import migrate
from pipeline.database.connections import Database
from pipeline.errors import InputError
from pipeline.maintenance.erasure import erase_user, removal
from pipeline.maintenance.erasure.person import read_person
from pipeline.maintenance.retention import retain
from pipeline.orchestration.mentions import search_storage
from pipeline.refresh import refresh
from pipeline.tracking import PromptTracker
from pipeline.tracking.event import payload_of
from pipeline.tracking.journal import FILE, LOCK, Journal
from pipeline.tracking.tracker import JOURNAL_BYTES
from tests.app import at
from tests.command import prompt_stats
from tests.conftest import NewDatabase
from tests.integration.test_adoption import made, script_of
from tests.integration.test_deployment import production, refused

__all__ = ["production"]

NOWHERE = "postgresql://app@127.0.0.1:1/app"
PERSON, OTHER, PROMPT = uuid.uuid4(), uuid.uuid4(), uuid.UUID(int=7)
USE_AS = "INSERT INTO prompt_usage (prompt_id, user_id) SELECT prompt_id, %s FROM prompt_usage LIMIT 1"
SPELLINGS = (str(PERSON), str(PERSON).upper(), PERSON.hex, f"{{{PERSON}}}", PERSON.urn)


def use(database: Database, *users: object, error: str | None = None) -> None:
    """An event of each user."""
    with psycopg.connect(database.conninfo) as app:
        for user in users:
            app.execute(
                "INSERT INTO prompt_usage (prompt_id, user_id, error_message) VALUES (%s, %s, %s)",
                (PROMPT, user, error),
            )


def reject(database: Database, *users: object) -> None:
    """A rejected event of each user."""
    with psycopg.connect(database.conninfo) as app:
        for user in users:
            app.execute(
                "INSERT INTO prompt_usage_rejected (reason, payload) VALUES ('x', %s)",
                (Jsonb({"user_id": user}),),
            )


def wait_in(journal: Path, *users: uuid.UUID | str) -> None:
    """An event of each user, accepted while there is no database; and one was sent before."""
    with PromptTracker(NOWHERE, journal_dir=journal) as tracker:
        for user in users:
            tracker.track_post_creation(prompt_id=str(PROMPT), user_id=user, success=True)
        tracker.close(timeout_seconds=0)
    with closing(sqlite3.connect(journal / FILE)) as connection, connection:
        # As SQLite is, unless the system's is built otherwise: what is deleted stays in a free page.
        connection.execute("PRAGMA secure_delete = OFF")
        row = (0.0, json.dumps({"user_id": str(users[0])}).encode())
        connection.execute("INSERT INTO waiting (accepted_at, record) VALUES (?, ?)", row)
        connection.execute("DELETE FROM waiting WHERE accepted_at = 0")


def write(path: Path, *texts: str) -> Path:
    """A file, as some program left it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"ERROR: by {text}: no\n" for text in texts), encoding="utf-8")
    return path


def store(path: Path, text: str) -> Path:
    """A SQLite file whose rows hold a text, over more than one page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE events (event TEXT)")
        # Wherever pages end, one of them is cut through.
        connection.execute("INSERT INTO events VALUES (?)", (" ".join([text] * 5_000),))
    return path


def everything(*folders: Path) -> bytes:
    """What is in the files, in one spelling."""
    files = [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(files).lower().replace(b"-", b"")


@contextmanager
def sending(journal: Path) -> Iterator[None]:
    """Another process sends what waits, for a block."""
    program = (
        "import sys, fasteners as f; lock = f.InterProcessLock(sys.argv[1]); print(lock.acquire()); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-uc", program, str(journal / LOCK)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tracker:
        assert tracker.stdout
        assert tracker.stdout.readline() == "True\n"
        yield
        tracker.communicate("\n")


@pytest.mark.parametrize("spelling", SPELLINGS, ids=["canonical", "upper", "hex", "braces", "urn"])
def test_any_spelling_is_the_person_everywhere(
    database: Database, lake: str, tmp_path: Path, spelling: str
) -> None:
    home, journal = tmp_path / "home", tmp_path / "journal"
    use(database, PERSON, OTHER, None)
    reject(database, *SPELLINGS, str(OTHER))
    wait_in(journal, *SPELLINGS, OTHER)
    write(home / "postgres" / "area" / "server.log", *SPELLINGS, str(OTHER))
    write(home / "dagster" / "storage" / "run" / "compute_logs" / "step.err", *SPELLINGS)
    refresh(at(database, lake))
    assert PERSON.hex.encode() in everything(journal)

    report = erase_user(at(database, lake), spelling, home=home, journal_dir=journal)

    assert report.rows == {"prompt_usage": 1, "prompt_favorites": 0, "prompt_usage_rejected": 5}
    assert (report.events, report.waiting, report.blanked) == (1, 5, 10)
    assert (report.found, report.unread, report.dead) == ({}, {}, {})
    assert PERSON.hex.encode() not in everything(home, journal)
    assert OTHER.hex.encode() in everything(home)
    with PromptTracker(database.conninfo, journal_dir=journal) as tracker:
        assert tracker.flush(10)
    with psycopg.connect(database.conninfo) as app:
        users = app.execute("SELECT user_id FROM prompt_usage ORDER BY user_id").fetchall()
    assert users == [(OTHER,), (OTHER,), (None,)]


def test_what_is_left_is_named_and_the_command_fails(database: Database, tmp_path: Path) -> None:
    home, lake = tmp_path / "home", tmp_path / "lake"
    refresh(at(database, str(lake)))
    use(database, OTHER, error=f"{PERSON.hex} is blocked")
    with psycopg.connect(database.conninfo) as app:
        app.execute(
            "INSERT INTO prompts (id, name, template, created_by) VALUES (%s, 'a', 'b', %s)", (PROMPT, PERSON)
        )
    places = [
        store(home / "dagster" / "history" / "runs" / "index.db", SPELLINGS[0]),
        write(home / "export.csv", SPELLINGS[3]),
        write(lake / "usage_events" / "left.json", SPELLINGS[1]),
        write(tmp_path / "journal" / "old.jsonl", SPELLINGS[4]),
    ]
    ended = prompt_stats(
        home,
        "erase-user",
        str(PERSON),
        "--yes",
        "--json",
        DATABASE_URL=database.conninfo,
        PROMPT_STATS_LAKE_URI=str(lake),
        PROMPT_STATS_JOURNAL_DIR=str(tmp_path / "journal"),
    )
    answer = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert answer["left_to_app"] == {"prompts": 1}
    found = answer["found"]
    assert found.keys() >= {"prompt_usage", *map(str, places)}
    assert found[str(places[0])] == 5_000
    assert all(str(place) in ended.stderr for place in places)


def test_a_journal_that_is_being_sent_is_not_called_clean(
    database: Database, lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "HELD_SECONDS", 0.1)
    wait_in(tmp_path / "journal", PERSON)
    with sending(tmp_path / "journal"):
        report = erase_user(at(database, lake), str(PERSON), journal_dir=tmp_path / "journal")
    place = str(tmp_path / "journal" / FILE)
    assert report.waiting == 0
    assert report.unread[place] == "a tracker is sending it: run it again once that is done"
    assert place in report.found


def test_a_journal_goes_on_after_an_erasure(tmp_path: Path) -> None:
    wait_in(tmp_path, PERSON, OTHER)
    with (
        closing(Journal(tmp_path, JOURNAL_BYTES)) as live,
        closing(Journal(tmp_path, JOURNAL_BYTES)) as other,
    ):
        assert other.forget(lambda record: str(PERSON).encode() in record, 1.0) == 1
        assert PERSON.hex.encode() not in everything(tmp_path)
        assert [payload_of(record)["user_id"] for record in live.take(10)] == [str(OTHER)]
        live.done()
        assert live.count() == 0


def test_dagsters_own_server_is_searched(
    production: dg.DagsterInstance, database: Database, tmp_path: Path
) -> None:
    with database.engine.connect() as connection:
        person = read_person(connection, database.names, str(PERSON))
    assert search_storage(tmp_path, person) == ({}, {})
    production.create_run_for_job(refused, tags={"user": f"{{{str(PERSON).upper()}}}"})
    found, unread = search_storage(tmp_path, person)
    assert found.keys() >= {"Dagster's runs", "Dagster's run_tags"}
    assert unread == {}


@pytest.mark.parametrize(
    ("kind", "person", "alike"), [("text", "id-1001", "id-10010"), ("bigint", 1001, 10010)]
)
def test_ids_of_other_types(
    new_database: NewDatabase, lake: str, tmp_path: Path, kind: str, person: Any, alike: Any
) -> None:
    journal = tmp_path / "journal"
    with made(new_database, script_of(kind), kind) as database:
        migrate(database)
        with psycopg.connect(database.conninfo) as app:
            app.execute("INSERT INTO users (id, email) VALUES (%s, 'x')", (alike,))
            app.execute(USE_AS, (alike,))
        reject(database, person, str(person), alike)
        refresh(at(database, lake))
        report = erase_user(at(database, lake), str(person), journal_dir=journal)
        assert report.rows["prompt_usage"] > 0 < report.events
        assert (report.rows["prompt_usage_rejected"], report.found, report.unread) == (2, {}, {})
        with psycopg.connect(database.conninfo) as app:
            left = app.execute("SELECT DISTINCT user_id FROM user_prompt_stats").fetchall()
        assert (person,) not in left
        assert (alike,) in left
        for given in ("1001; --", "\udcff") if kind == "bigint" else ("\udcff", "a\0b", ""):
            with pytest.raises(InputError, match=r"not a whole number|not an id"):
                erase_user(at(database, lake), given)


@pytest.mark.parametrize("word", ["top", " ", "1001"])
def test_an_id_that_is_a_word_is_the_person_only_where_it_says_so(
    new_database: NewDatabase, lake: str, tmp_path: Path, word: str
) -> None:
    said = f"prompt-stats {word} says {word}"
    log = write(tmp_path / "logs" / "server.log", said)
    with made(new_database, script_of("text"), "text") as database:
        migrate(database)
        with psycopg.connect(database.conninfo) as app:
            app.execute("INSERT INTO users (id, email) VALUES (%s, 'x'), ('stop', 'y')", (word,))
            app.execute(USE_AS, (word,))
            app.execute(USE_AS, ("stop",))
            app.execute("UPDATE prompt_usage SET error_message = %s WHERE user_id = 'stop'", (said,))
        reject(database, word, "stop")
        refresh(at(database, lake))
        report = erase_user(at(database, lake), word, home=tmp_path)
        assert (report.rows["prompt_usage"], report.rows["prompt_usage_rejected"]) == (1, 1)
        assert (report.found, report.unread) == ({}, {})
        assert said in log.read_text()
        left = write(tmp_path / "logs" / "notes.txt", f'{{"user_id": "{word}"}}')
        again = erase_user(at(database, lake), word, home=tmp_path)
        assert again.found == {str(left): 1}


@pytest.mark.parametrize("kind", ["text", "uuid"])
def test_a_prompt_with_the_persons_id_is_not_the_person(
    new_database: NewDatabase, lake: str, tmp_path: Path, kind: str
) -> None:
    with made(new_database, script_of(kind), kind) as database:
        migrate(database)
        with psycopg.connect(database.conninfo) as app:
            for user in (PERSON, OTHER):
                app.execute("INSERT INTO users (id, email) VALUES (%s, %s)", (str(user), str(user)))
            app.execute("INSERT INTO prompts (id, name, template) VALUES (%s, 'x', 'x')", (str(PERSON),))
            for user in (PERSON, OTHER):
                use = "INSERT INTO prompt_usage (prompt_id, user_id) VALUES (%s, %s)"
                app.execute(use, (str(PERSON), str(user)))
            for user in (PERSON, OTHER):
                rejected = Jsonb({"prompt_id": str(PERSON), "user_id": str(user)})
                app.execute(
                    "INSERT INTO prompt_usage_rejected (reason, payload) VALUES ('x', %s)", (rejected,)
                )
        refresh(at(database, lake))
        log = tmp_path / "logs" / "server.log"
        write(log, f'{{"prompt_id": "{PERSON}", "user_id": "{PERSON}"}}')
        report = erase_user(at(database, lake), str(PERSON), home=tmp_path)
        assert (report.rows["prompt_usage"], report.rows["prompt_usage_rejected"]) == (1, 1)
        assert (report.found, report.unread) == ({}, {})
        assert f'"prompt_id": "{PERSON}", "user_id": "{"x" * 36}"' in log.read_text()
        with psycopg.connect(database.conninfo) as app:
            (left,) = app.execute("SELECT count(*) FROM prompt_usage_rejected").fetchone() or (None,)
            app.execute("CREATE RULE kept AS ON DELETE TO prompt_favorites DO INSTEAD NOTHING")
            app.execute(
                "INSERT INTO prompt_favorites (prompt_id, user_id) VALUES (%s, %s)", (str(PERSON),) * 2
            )
        assert left == 1
        notes = write(tmp_path / "notes.txt", f'{{"user_id": "{PERSON}"}}')
        again = erase_user(at(database, lake), str(PERSON), home=tmp_path)
        assert {"prompt_favorites", str(notes)} <= again.found.keys()
        assert "prompt_usage" not in again.found


@pytest.mark.parametrize("late", [OTHER, PERSON, None], ids=["another's", "the person's", "nobody's"])
def test_an_erasure_of_an_expired_day_is_final(database: Database, lake: str, late: uuid.UUID | None) -> None:
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=40)

    def use_late() -> None:
        with psycopg.connect(database.conninfo) as app:
            statement = "INSERT INTO prompt_usage (prompt_id, user_id, created_at) VALUES (%s, %s, %s)"
            app.execute(statement, (PROMPT, late, long_ago))

    def users() -> tuple[list[Any], list[Any]]:
        with psycopg.connect(database.conninfo) as app:
            rows = app.execute("SELECT user_id FROM user_prompt_stats").fetchall()
            return rows, app.execute("SELECT unique_users FROM prompt_stats").fetchall()

    with psycopg.connect(database.conninfo) as app:
        for user in (PERSON, OTHER, None):
            statement = "INSERT INTO prompt_usage (prompt_id, user_id, created_at) VALUES (%s, %s, %s)"
            app.execute(statement, (PROMPT, user, long_ago))
    refresh(at(database, lake))
    assert retain(at(database, lake), days=5).rows == 3
    for _ in range(2):
        # Not read by any refresh yet: the erasure's own appends it to the day that it has rewritten.
        use_late()
        report = erase_user(at(database, lake), str(PERSON))
        assert (report.found, report.unread) == ({}, {})
        assert users() == ([(OTHER,)], [(1,)])
        refresh(at(database, lake))
        assert users() == ([(OTHER,)], [(1,)])


def test_a_text_that_looks_like_a_uuid_is_itself(new_database: NewDatabase, lake: str) -> None:
    with made(new_database, script_of("text"), "text") as database:
        migrate(database)
        with psycopg.connect(database.conninfo) as app:
            for user in (str(PERSON), str(PERSON).upper()):
                app.execute("INSERT INTO users (id, email) VALUES (%s, %s)", (user, user))
                app.execute(USE_AS, (user,))
        refresh(at(database, lake))
        report = erase_user(at(database, lake), str(PERSON).upper())
        # Whether it is the same person nobody knows, so nobody says that all is gone.
        assert (report.rows["prompt_usage"], report.events) == (1, 1)
        assert report.found["prompt_usage"] == report.found["user_prompt_stats"] == 1
        again = erase_user(at(database, lake), str(PERSON))
        assert (again.rows["prompt_usage"], again.found) == (1, {})
