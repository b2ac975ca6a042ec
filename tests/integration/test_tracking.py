"""The write path against a real Postgres: one row per event, and no harm to the app whatever happens."""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from pipeline.database.connections import Database
from pipeline.errors import DatabaseError
from pipeline.tracking import PromptTracker
from pipeline.tracking.buffer import EVENT_BYTES
from pipeline.tracking.tracker import BUFFER_BYTES
from pipeline.tracking.writer import BATCH_EVENTS
from tests.sessions import end_sessions

PROMPT_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
SLUG = "portrait-selfie-casual"
NOON = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
ROOT = Path(__file__).parents[2]

IDS: dict[str, Any] = {name: uuid.uuid4() for name in ("post_id", "user_id", "character_id", "job_id")}
CONTEXT: dict[str, Any] = {"scene": "candid_lifestyle", "environment": "studio", "outfit": "casual-jeans"}


@dataclass
class Postgres:
    """The test's own view of the database."""

    conninfo: str

    def rows(self, statement: str) -> list[DictRow]:
        """What a statement returns."""
        with psycopg.connect(self.conninfo, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def events(self) -> list[DictRow]:
        """The rows of prompt_usage, in the order in which they were written."""
        return self.rows("SELECT * FROM prompt_usage ORDER BY ingest_xid")

    def rejected(self) -> list[DictRow]:
        """The rows of prompt_usage_rejected, likewise."""
        return self.rows("SELECT * FROM prompt_usage_rejected ORDER BY id")

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Ends all connections and refuses new ones, as a server that restarts does."""
        name = conninfo_to_dict(self.conninfo)["dbname"]
        with psycopg.connect(make_conninfo(self.conninfo, dbname="postgres"), autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            self._end_connections(connection)
            try:
                yield
            finally:
                connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    def restart(self) -> None:
        """Ends all connections, as seen by a client after a restart."""
        with psycopg.connect(make_conninfo(self.conninfo, dbname="postgres"), autocommit=True) as connection:
            self._end_connections(connection)

    def _end_connections(self, connection: psycopg.Connection[Any]) -> None:
        end_sessions(connection, f"datname = '{conninfo_to_dict(self.conninfo)['dbname']}'")


@pytest.fixture
def postgres(database: Database) -> Postgres:
    """A migrated database with one prompt."""
    postgres = Postgres(database.conninfo)
    postgres.rows(
        f"INSERT INTO prompts (id, slug, name, template) VALUES ('{PROMPT_ID}', '{SLUG}', 'Selfie', '')"
    )
    return postgres


class PatientTracker(PromptTracker):
    """Sends each event at once, so that a test can look at it."""

    def track_post_creation(self, **values: Any) -> uuid.UUID | str | None:
        """As its base's."""
        event_id = super().track_post_creation(**values)
        assert self.flush()
        return event_id

    def track_from_post(self, post: object, **values: Any) -> uuid.UUID | str | None:
        """As its base's."""
        event_id = super().track_from_post(post, **values)
        assert self.flush()
        return event_id


@pytest.fixture(params=["direct", "buffered", "journaled"])
def tracker(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Iterator[PromptTracker]:
    """Every way to track: what becomes of an event is the same."""
    journal_dir = tmp_path / "journal" if request.param == "journaled" else None
    mode: Any = "direct" if request.param == "direct" else "buffered"
    with PatientTracker(postgres.conninfo, mode=mode, journal_dir=journal_dir) as tracker:
        yield tracker


@pytest.fixture
def direct(postgres: Postgres) -> Iterator[PromptTracker]:
    with PromptTracker(postgres.conninfo, mode="direct") as tracker:
        yield tracker


@pytest.fixture
def closed_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that is not there. What can't be sent is left in the test's folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"postgresql://app:hidden@127.0.0.1:{free.getsockname()[1]}/app"


def counts(tracker: PromptTracker) -> dict[str, int]:
    """The counts that are not zero."""
    stats = vars(tracker.stats())
    return {name: count for name, count in stats.items() if count and name != "oldest_waiting_at"}


# What is written ---------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_id", [PROMPT_ID, str(PROMPT_ID), SLUG])
def test_an_event_is_one_row_with_the_values_given(
    tracker: PromptTracker, postgres: Postgres, prompt_id: uuid.UUID | str
) -> None:
    event_id = tracker.track_post_creation(
        prompt_id=prompt_id,
        **IDS,
        **CONTEXT,
        prompt="A selfie of Ada",
        negative_prompt="blurry",
        success=False,
        generation_time_ms=5000,
        error_message="out of memory",
        created_at=NOON,
    )
    [row] = postgres.events()
    assert isinstance(row.pop("ingest_xid"), int)
    assert row == {
        "id": event_id,
        "prompt_id": PROMPT_ID,
        **IDS,
        **CONTEXT,
        "success": False,
        "generation_time_ms": 5000,
        "error_message": "out of memory",
        "created_at": NOON,
    }
    assert counts(tracker) == {"accepted": 1, "written": 1}


@pytest.mark.parametrize("prompt_id", [PROMPT_ID, SLUG])
def test_what_is_absent_is_null_and_the_time_is_now(
    tracker: PromptTracker, postgres: Postgres, prompt_id: uuid.UUID | str
) -> None:
    tracker.track_post_creation(prompt_id=prompt_id)
    [row] = postgres.events()
    assert abs(dt.datetime.now(dt.UTC) - row.pop("created_at")) < dt.timedelta(minutes=1)
    assert {name for name, value in row.items() if value is not None} == {"id", "prompt_id", "ingest_xid"}


def test_counters_are_left_to_the_pipeline(tracker: PromptTracker, postgres: Postgres) -> None:
    before = postgres.rows("SELECT * FROM prompts")
    tracker.track_post_creation(prompt_id=SLUG, success=True, generation_time_ms=10)
    assert postgres.rows("SELECT * FROM prompts") == before
    assert len(postgres.events()) == 1


@pytest.mark.parametrize("prompt_id", [None, ""])
def test_without_a_prompt_there_is_nothing_to_track(
    tracker: PromptTracker, postgres: Postgres, prompt_id: str | None
) -> None:
    assert tracker.track_post_creation(prompt_id=prompt_id, success=True) is None
    assert tracker.track_from_post({"id": str(uuid.uuid4()), "promptId": prompt_id}, success=True) is None
    assert tracker.track_from_post(object()) is None
    assert postgres.events() == postgres.rejected() == []
    assert counts(tracker) == {}


@pytest.mark.parametrize("prompt_id", [PROMPT_ID, SLUG])
def test_an_event_id_counts_once(
    tracker: PromptTracker, postgres: Postgres, prompt_id: uuid.UUID | str
) -> None:
    event_id = uuid.uuid4()
    for scene in ("first", "second"):
        assert tracker.track_post_creation(prompt_id=prompt_id, event_id=event_id, scene=scene) == event_id
    assert [(row["id"], row["scene"]) for row in postgres.events()] == [(event_id, "first")]
    assert postgres.rejected() == []
    assert counts(tracker) == {"accepted": 2, "written": 2}


def test_an_event_sent_again_after_its_prompt_was_renamed_is_still_taken(
    tracker: PromptTracker, postgres: Postgres
) -> None:
    event_id = tracker.track_post_creation(prompt_id=SLUG)
    postgres.rows("UPDATE prompts SET slug = 'renamed'")
    tracker.track_post_creation(prompt_id=SLUG, event_id=event_id)
    assert postgres.rejected() == []
    assert len(postgres.events()) == 1


class Post:
    """A row object as an object mapper makes them."""

    def __init__(self) -> None:
        self.id = IDS["post_id"]
        self.user_id = IDS["user_id"]
        self.character_id = IDS["character_id"]
        self.job_id = IDS["job_id"]
        self.prompt_id = PROMPT_ID
        self.scene, self.environment, self.outfit = CONTEXT.values()
        self.created_at = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


CAMEL_CASE_POST = {
    "id": str(IDS["post_id"]),
    "userId": str(IDS["user_id"]),
    "characterId": str(IDS["character_id"]),
    "jobId": str(IDS["job_id"]),
    "promptId": SLUG,
    "createdAt": "2020-01-01T00:00:00Z",
    **CONTEXT,
}


@pytest.mark.parametrize("post", [Post(), CAMEL_CASE_POST])
def test_a_post_gives_ids_and_context(tracker: PromptTracker, postgres: Postgres, post: object) -> None:
    event_id = uuid.uuid4()
    tracker.track_from_post(
        post, success=True, generation_time_ms=7, error_message="slow", event_id=event_id, created_at=NOON
    )
    [row] = postgres.events()
    del row["ingest_xid"]
    assert row == {
        "id": event_id,
        "prompt_id": PROMPT_ID,
        **IDS,
        **CONTEXT,
        "success": True,
        "generation_time_ms": 7,
        "error_message": "slow",
        "created_at": NOON,
    }


def test_threads_share_a_tracker(tracker: PromptTracker, postgres: Postgres) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: tracker.track_post_creation(prompt_id=SLUG), range(200)))
    assert {row["id"] for row in postgres.events()} == ids
    assert counts(tracker) == {"accepted": 200, "written": 200}


# What is rejected --------------------------------------------------------------------------------


def test_an_unknown_slug_is_rejected_and_can_be_tracked_again(
    tracker: PromptTracker, postgres: Postgres
) -> None:
    event_id = tracker.track_post_creation(
        prompt_id="not-yet-there", **IDS, **CONTEXT, success=True, generation_time_ms=5, created_at=NOON
    )
    [rejected] = postgres.rejected()
    assert rejected["reason"] == "no prompt has the id or slug 'not-yet-there'"
    assert postgres.events() == []
    assert counts(tracker) == {"accepted": 1, "rejected": 1}

    postgres.rows("INSERT INTO prompts (slug, name, template) VALUES ('not-yet-there', 'New', 'New')")
    tracker.track_post_creation(**rejected["payload"])
    [row] = postgres.events()
    assert row["id"] == event_id
    assert row["created_at"] == NOON
    assert row.items() >= {**IDS, **CONTEXT, "success": True, "generation_time_ms": 5}.items()


UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "fraction as prompt": ({"prompt_id": 7.5}, "prompt_id is not an id: 7.5"),
    "long slug": ({"prompt_id": "x" * 10_001}, "prompt_id has 10,001 characters, more than 10,000"),
    "boolean as event": ({"event_id": True}, "event_id is not an id: True"),
    "text as event": ({"event_id": "first"}, "event_id is not a UUID: 'first'"),
}


@pytest.mark.parametrize(("values", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_event_without_a_readable_prompt_or_id_is_rejected_with_its_reason(
    direct: PromptTracker, postgres: Postgres, values: dict[str, Any], reason: str
) -> None:
    tracker = direct
    event_id = tracker.track_post_creation(**{"prompt_id": PROMPT_ID, **values})
    [rejected] = postgres.rejected()
    assert rejected["reason"].startswith(reason)
    assert rejected["payload"]["event_id"] == str(event_id)
    assert values.keys() <= rejected["payload"].keys()
    assert postgres.events() == []
    assert counts(tracker) == {"accepted": 1, "rejected": 1}


FLAWS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "text as user": ({"user_id": "ada"}, {"user_id": None}, "user_id is not a UUID: 'ada': left out"),
    "number as post": ({"post_id": 7}, {"post_id": None}, "post_id is not a UUID: '7': left out"),
    "NUL": ({"scene": "stu\0dio"}, {"scene": "stu\ufffddio"}, "scene has a NUL character"),
    "surrogate": ({"outfit": "\ud83d"}, {"outfit": "\ufffd"}, "outfit has a NUL character or half a sur"),
    "long": ({"error_message": "x" * 10_001}, {"error_message": "x" * 9_999 + "…"}, "error_message has 10,"),
    "fraction": ({"generation_time_ms": 5479.99}, {"generation_time_ms": 5480}, "generation_time_ms is 5479"),
    "not a time": ({"generation_time_ms": -1}, {"generation_time_ms": None}, "generation_time_ms is not bet"),
    "text as date": ({"created_at": "noon"}, {}, "created_at is not an ISO 8601 time: 'noon'"),
}


@pytest.mark.parametrize("success", [True, False])
def test_a_flawed_detail_is_noted_and_the_event_counts(
    tracker: PromptTracker, postgres: Postgres, caplog: pytest.LogCaptureFixture, *, success: bool
) -> None:
    ids = [
        tracker.track_post_creation(prompt_id=SLUG, success=success, **values)
        for values, _, _ in FLAWS.values()
    ]
    rows = {row["id"]: row for row in postgres.events()}
    for event_id, (_, expected, _) in zip(ids, FLAWS.values(), strict=True):
        assert rows[event_id].items() >= {"success": success, **expected}.items()
    assert counts(tracker) == {"accepted": len(FLAWS), "written": len(FLAWS), "mended": len(FLAWS)}
    # Only the first within a minute.
    noted = [record.getMessage() for record in caplog.records if "corrected" in record.getMessage()]
    assert len(noted) == 1
    assert f"for example {ids[0]}: {FLAWS['text as user'][2]}" in noted[0]


def test_a_post_that_cannot_be_read_is_rejected_with_what_could_be(
    tracker: PromptTracker, postgres: Postgres
) -> None:
    class Detached(Post):
        @property
        def prompt_id(self) -> uuid.UUID:
            raise RuntimeError("the session is closed")

        @prompt_id.setter
        def prompt_id(self, value: uuid.UUID) -> None: ...

    tracker.track_from_post(Detached(), success=True)
    [rejected] = postgres.rejected()
    said = "prompt_id can't be read from the post: RuntimeError('the session is closed')"
    assert said in rejected["reason"]
    assert rejected["payload"]["user_id"] == str(IDS["user_id"])


def test_an_event_that_the_database_refuses_is_rejected(tracker: PromptTracker, postgres: Postgres) -> None:
    """As on an adopted table with a foreign key."""
    postgres.rows("ALTER TABLE prompt_usage ADD FOREIGN KEY (prompt_id) REFERENCES prompts")
    tracker.track_post_creation(prompt_id=uuid.uuid4())
    [rejected] = postgres.rejected()
    assert rejected["reason"].startswith("the database refused it: insert or update on table")
    tracker.track_post_creation(prompt_id=PROMPT_ID)
    assert counts(tracker) == {"accepted": 2, "written": 1, "rejected": 1}


# What the database does --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["direct", "buffered"])
def test_a_server_that_is_not_there_costs_one_short_wait(
    closed_port: str, caplog: pytest.LogCaptureFixture, mode: Any
) -> None:
    with caplog.at_level(logging.WARNING, "pipeline"):
        began = time.monotonic()
        tracker = PromptTracker(closed_port, mode=mode)
        assert time.monotonic() - began < 0.2
        assert isinstance(tracker.track_post_creation(prompt_id=SLUG), uuid.UUID)
        assert time.monotonic() - began < (2 if mode == "direct" else 0.2)
        began = time.monotonic()
        for _ in range(100):
            tracker.track_post_creation(prompt_id=SLUG)
        assert time.monotonic() - began < 0.5
        assert counts(tracker) == {"accepted": 101, "waiting": 101}
        oldest_at = tracker.stats().oldest_waiting_at
        assert oldest_at
        assert dt.datetime.now(dt.UTC) - oldest_at < dt.timedelta(seconds=10)
        assert not tracker.flush(timeout_seconds=1)
        assert caplog.text.count("Prompt usage events are waiting: ") == 1
        tracker.close(timeout_seconds=0)
    assert counts(tracker) == {"accepted": 101, "waiting": 101}
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("mode", ["direct", "buffered"])
def test_what_waited_is_written_with_its_own_time(postgres: Postgres, mode: Any) -> None:
    with PromptTracker(postgres.conninfo, mode=mode) as tracker:
        tracker.track_post_creation(prompt_id=SLUG, scene="before")
        tracker.flush()
        with postgres.unreachable():
            asked = dt.datetime.now(dt.UTC)
            tracker.track_post_creation(prompt_id=SLUG, scene="first")
            answered = dt.datetime.now(dt.UTC)
            tracker.track_post_creation(prompt_id="unknown", scene="second", created_at=NOON)
            tracker.track_post_creation(prompt_id=PROMPT_ID, scene="third", created_at=NOON)
            assert counts(tracker) == {"accepted": 4, "written": 1, "waiting": 3}
    events = postgres.events()
    assert [row["scene"] for row in events] == ["before", "first", "third"]
    at = {row["scene"]: row["created_at"] for row in events}
    assert asked <= at["first"] <= answered
    assert at["third"] == NOON
    [rejected] = postgres.rejected()
    assert dt.datetime.fromisoformat(rejected["payload"]["created_at"]) == NOON
    assert counts(tracker) == {"accepted": 4, "written": 3, "rejected": 1}


def test_events_are_sent_by_number_or_by_age(postgres: Postgres) -> None:
    with PromptTracker(postgres.conninfo) as tracker:
        for _ in range(2 * BATCH_EVENTS + 1):
            tracker.track_post_creation(prompt_id=PROMPT_ID)
        deadline = time.monotonic() + 20
        while tracker.stats().waiting:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        batches = postgres.rows("SELECT count(*) AS size FROM prompt_usage GROUP BY ingest_xid")
    assert sum(row["size"] for row in batches) == 2 * BATCH_EVENTS + 1
    assert max(row["size"] for row in batches) <= BATCH_EVENTS


def test_a_restart_of_the_server_between_two_events_is_not_noticed(
    tracker: PromptTracker, postgres: Postgres
) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: tracker.track_post_creation(prompt_id=SLUG), range(40)))
    postgres.restart()
    tracker.track_post_creation(prompt_id=SLUG)
    assert counts(tracker) == {"accepted": 41, "written": 41}


def test_a_locked_table_holds_a_direct_call_for_two_seconds_at_most(
    direct: PromptTracker, postgres: Postgres
) -> None:
    tracker = direct
    with psycopg.connect(postgres.conninfo) as connection:
        connection.execute("LOCK TABLE prompt_usage")
        began = time.monotonic()
        tracker.track_post_creation(prompt_id=SLUG)
        assert time.monotonic() - began < 2
        assert counts(tracker) == {"accepted": 1, "waiting": 1}
        # The server is told to cancel, and does so in its own time.
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'prompt_usage'::regclass"
        deadline = time.monotonic() + 10
        while connection.execute(waiting).fetchall() != [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    tracker.close()
    assert len(postgres.events()) == 1


def test_events_that_the_database_refuses_do_not_hold_up_the_others(postgres: Postgres) -> None:
    postgres.rows("ALTER TABLE prompt_usage ADD FOREIGN KEY (prompt_id) REFERENCES prompts")
    with PromptTracker(postgres.conninfo) as tracker:
        ids = [
            tracker.track_post_creation(prompt_id=uuid.uuid4() if number % 10 == 3 else PROMPT_ID)
            for number in range(50)
        ]
    assert {row["id"] for row in postgres.events()} == {ids[n] for n in range(50) if n % 10 != 3}
    assert {row["event_id"] for row in postgres.rejected()} == {ids[n] for n in range(50) if n % 10 == 3}
    assert counts(tracker) == {"accepted": 50, "written": 45, "rejected": 5}


def test_an_event_that_nothing_takes_is_logged_whole(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.rows("ALTER TABLE prompt_usage_rejected ADD CHECK (reason = '')")
    with PromptTracker(postgres.conninfo) as tracker:
        tracker.track_post_creation(prompt_id="nobody's", scene="the last trace")
        tracker.track_post_creation(prompt_id=PROMPT_ID)
    assert counts(tracker) == {"accepted": 2, "written": 1, "failed": 1}
    assert "the last trace" in caplog.text


def test_what_a_closed_tracker_could_not_send_is_kept_in_a_journal(
    closed_port: str, postgres: Postgres, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = PromptTracker(closed_port)
    event_id = tracker.track_post_creation(prompt_id=SLUG, scene="kept")
    tracker.close(timeout_seconds=0)
    [folder] = tmp_path.iterdir()
    assert f"run: prompt-stats send-journal {folder}" in caplog.text
    assert folder.stat().st_mode & 0o077 == 0
    with PromptTracker(postgres.conninfo, journal_dir=folder) as sender:
        assert sender.flush()
    assert [(row["id"], row["scene"]) for row in postgres.events()] == [(event_id, "kept")]


def test_memory_is_bounded(closed_port: str, caplog: pytest.LogCaptureFixture) -> None:
    tracker = PromptTracker(closed_port)
    long = "x" * 10_000
    room = BUFFER_BYTES // (EVENT_BYTES + 2 * len(long))
    for _ in range(room + 10):
        tracker.track_post_creation(prompt_id=PROMPT_ID, scene=long, error_message=long)
    assert counts(tracker) == {"accepted": room + 10, "waiting": room, "failed": 10}
    assert caplog.text.count("No room for prompt usage events: 1 are lost so far") == 1
    tracker.close(timeout_seconds=0)


def test_a_closed_tracker_says_so_and_does_not_raise(
    tracker: PromptTracker,
    postgres: Postgres,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    tracker.close()
    tracker.track_post_creation(prompt_id=SLUG)
    has_journal = "journaled" in request.node.name
    assert counts(tracker) == {"accepted": 1, "waiting" if has_journal else "failed": 1}
    assert ("is lost, the tracker is closed" in caplog.text) is not has_journal
    assert postgres.events() == []


# How it is made ----------------------------------------------------------------------------------


def test_an_address_that_is_none_is_told_at_once_without_repeating_it() -> None:
    with pytest.raises(DatabaseError) as caught:
        PromptTracker("postgresql://app:hidden@host:port:5432/app?what=ever")
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


def run(program: str, folder: Path = ROOT, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def test_the_environment_names_the_database_and_nobody_has_to_close(postgres: Postgres) -> None:
    run(
        "from pipeline.tracking import PromptTracker;"
        f"PromptTracker().track_post_creation(prompt_id={SLUG!r})",
        DATABASE_URL=postgres.conninfo,
    )
    assert len(postgres.events()) == 1


def test_the_end_of_the_process_writes_what_waits(postgres: Postgres) -> None:
    waiting = (
        "import sys; from pipeline.tracking import PromptTracker; tracker = PromptTracker();"
        f"tracker.track_post_creation(prompt_id={SLUG!r}); print(tracker.stats().waiting, flush=True);"
        "sys.stdin.read()"
    )
    with postgres.unreachable():
        process = subprocess.Popen(
            [sys.executable, "-c", waiting],
            env={**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": postgres.conninfo},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
    process.communicate(timeout=30)
    assert len(postgres.events()) == 1


def test_without_an_address_the_embedded_server_is_started_with_the_first_event(tmp_path: Path) -> None:
    program = """
        from pathlib import Path
        from pipeline.adoption import schema
        from pipeline.database.connections import Database
        from pipeline.database.embedded import client
        from pipeline.tracking import PromptTracker

        tracker = PromptTracker()
        assert not Path("postgres").exists()
        tracker.track_post_creation(prompt_id="unknown")
        assert tracker.stats().waiting == 1
        schema.migrate(Database.from_url(client.start(Path.cwd())))
        tracker.close(timeout_seconds=30)
        print(tracker.stats().rejected)
    """
    assert run(dedent(program), tmp_path, DATABASE_URL="", PROMPT_STATS_HOME=str(tmp_path)) == "1\n"


def test_an_app_imports_no_more_than_it_needs() -> None:
    loaded = run("import sys, pipeline.tracking; print(*sorted(sys.modules))").split()
    heavy = {"dagster", "duckdb", "polars", "pyarrow", "deltalake", "sqlalchemy", "alembic", "pydantic"}
    assert {name.partition(".")[0] for name in loaded} & (heavy | {"adbc_driver_postgresql"}) == set()
    assert "psycopg" in loaded
