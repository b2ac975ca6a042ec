"""A journal that was tampered with: each event that can be read is sent, the rest is kept and told of."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.database.connections import Database
from pipeline.files import private_file
from pipeline.maintenance.erasure.person import read_person
from pipeline.maintenance.erasure.removal import delete_waiting
from pipeline.tracking import PromptTracker
from pipeline.tracking.event import Event, RejectedEvent
from pipeline.tracking.journal import ENTRY_BYTES, FILE, LOCK, Journal, _read
from pipeline.tracking.journal_schema import CREATE, NotAJournalError
from pipeline.tracking.rescue import rescue
from tests.command import prompt_stats

PROMPT = uuid.UUID(int=1)
NOWHERE = "postgresql://app@127.0.0.1:1/app"
EVENTS = 300


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of a process that is gone, in one file; tests copy it."""
    folder = tmp_path_factory.mktemp("journal")
    with PromptTracker(NOWHERE, journal_dir=folder) as tracker:
        for number in range(EVENTS):
            tracker.track_post_creation(prompt_id=PROMPT, scene=f"scene {number}" * 10)
        tracker.close(0)
    with closing(sqlite3.connect(folder / FILE)) as journal:
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def journal(written: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "journal"
    shutil.copytree(written, folder)
    return folder


def sent_ids(database: Database) -> set[str]:
    with psycopg.connect(database.conninfo) as app:
        return {str(id_) for (id_,) in app.execute("SELECT id FROM prompt_usage")}


def rejected(database: Database) -> list[Any]:
    with psycopg.connect(database.conninfo) as app:
        return app.execute("SELECT reason, payload FROM prompt_usage_rejected ORDER BY id").fetchall()


def accepted_ids(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / FILE)) as journal:
        rows = journal.execute("SELECT record FROM waiting ORDER BY number").fetchall()
    return [json.loads(record)["event_id"] for (record,) in rows]


def add(folder: Path, *records: Any) -> None:
    """Puts entries among those of the tracker: after them, and one before."""
    with closing(sqlite3.connect(folder / FILE)) as journal, journal:
        journal.executemany(
            "INSERT INTO waiting (accepted_at, record) VALUES (0, ?)", [(each,) for each in records]
        )


def send(database: Database, folder: Path, *options: str) -> Any:
    done = prompt_stats(
        folder.parent / "home", "send-journal", str(folder), *options, DATABASE_URL=database.conninfo
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def flip(file: Path, first: int, last: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(first)
        opened.write(random.Random(first).randbytes(last - first))  # noqa: S311


DAMAGES: dict[str, tuple[Callable[[Path], object], range]] = {
    "a page in the middle": (lambda file: flip(file, 4096 * 10, 4096 * 11), range(200, EVENTS)),
    "a third of it": (lambda file: flip(file, 4096 * 4, file.stat().st_size // 3), range(100, EVENTS)),
    "its end is gone": (lambda file: os.truncate(file, file.stat().st_size // 2), range(1, EVENTS)),
    "its header": (lambda file: flip(file, 0, 100), range(1)),
    "no database": (lambda file: file.write_bytes(random.Random(1).randbytes(10_000)), range(1)),  # noqa: S311
    "a few bytes": (lambda file: file.write_bytes(b"\xff\x00no"), range(1)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_can_be_read_of_a_damaged_journal_is_sent_and_the_file_is_kept(
    database: Database, journal: Path, damage: str
) -> None:
    accepted = accepted_ids(journal)
    do, expected = DAMAGES[damage]
    do(journal / FILE)
    content = (journal / FILE).read_bytes()

    done = send(database, journal)
    assert done.returncode == 1
    sent = sent_ids(database) & set(accepted)
    assert len(sent) in expected, len(sent)
    assert f"{len(sent) + len(rejected(database)):,} events could be read" in done.stderr
    assert "could not. The damaged file is kept as" in done.stderr
    [kept] = [file for file in journal.iterdir() if file.name.startswith(f"{FILE}.damaged-")]
    assert str(kept) in done.stderr
    assert kept.read_bytes() == content

    # The journal is a journal again, and the next run has nothing to say.
    again = send(database, journal)
    assert (again.returncode, again.stderr) == (0, "")
    with PromptTracker(database.conninfo, journal_dir=journal) as tracker:
        tracker.track_post_creation(prompt_id=PROMPT)
        assert tracker.flush(20)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE waiting",
        "ALTER TABLE waiting RENAME COLUMN record TO other",
        "CREATE TRIGGER forged BEFORE DELETE ON waiting BEGIN SELECT RAISE(IGNORE); END",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
    ],
)
def test_a_database_of_another_shape_is_no_journal(database: Database, journal: Path, statement: str) -> None:
    accepted = accepted_ids(journal)
    with closing(sqlite3.connect(journal / FILE)) as tampered, tampered:
        tampered.execute(statement)
    done = send(database, journal)
    assert done.returncode == 1
    assert "it was damaged" in done.stderr
    is_readable = statement.startswith(("CREATE", "UPDATE"))
    assert sent_ids(database) == (set(accepted) if is_readable else set())
    assert send(database, journal).returncode == 0


def valid(**values: Any) -> bytes:
    event = {"type": "event", "event_id": str(uuid.uuid4()), "prompt_id": str(PROMPT)}
    return json.dumps({**event, "created_at": "2026-01-31T12:00:00Z", **values}).encode()


def valid_rejected(reason: Any, payload: Any) -> bytes:
    return json.dumps(
        {"type": "rejected", "event_id": str(uuid.uuid4()), "reason": reason, "payload": payload}
    ).encode()


ODD = {
    "binary": bytes(range(256)),
    "no UTF-8": b'{"type":"event","scene":"\xff\xfe"}',
    "a text": '{"type": "event"}',
    "a number": 12,
    "empty": b"",
    "another shape": b'{"a": [1, 2, {"b": null}]}',
    "a list": b"[]",
    "a NUL in a slug": valid(prompt_id=None, slug="a\0b"),
    "half a surrogate pair": b'{"type":"rejected","event_id":"%s","reason":"\\ud800","payload":{}}'
    % str(uuid.uuid4()).encode(),
    "a NUL in a reason": valid_rejected("a\0b", {"a\0": {"b": ["\0"]}}),
    "deep": valid_rejected("deep", {"a": json.loads("[" * 500 + "]" * 500)}),
    "deeper": b'{"type":"rejected","payload":' + b"[" * 50_000,
    "before the common era": valid(created_at="0001-01-01T00:00:00+14:00"),
    "no zone": valid(created_at="2026-01-31T12:00:00"),
    "no prompt": valid(prompt_id=None),
}


def test_entries_that_no_tracker_wrote_hold_up_no_other(database: Database, journal: Path) -> None:
    accepted = accepted_ids(journal)
    add(journal, *ODD.values())
    done = send(database, journal)
    assert (done.returncode, done.stderr.count("wait")) == (0, 0), done.stderr
    assert set(accepted) <= sent_ids(database)
    # Each is somewhere: that without a zone is taken as UTC, and a time before the common era is left out.
    assert len(sent_ids(database)) - EVENTS + len(rejected(database)) == len(ODD)
    assert len(sent_ids(database)) == EVENTS + 2
    assert send(database, journal).returncode == 0


def test_entries_too_long_to_be_read_are_kept_apart(database: Database, journal: Path) -> None:
    accepted = accepted_ids(journal)
    long = b'{"type":"event","scene":"' + b"x" * (100 * 2**20)
    add(journal, long, valid())
    done = send(database, journal, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "written": EVENTS + 1,
        "rejected": 0,
        "waiting": 0,
        "unreadable": 1,
        "damage": None,
    }
    assert "1 entries are too long to be read" in done.stderr
    assert set(accepted) < sent_ids(database)
    with closing(sqlite3.connect(journal / FILE)) as kept:
        assert kept.execute("SELECT record FROM unreadable").fetchall() == [(long,)]
    assert len(long) > ENTRY_BYTES


def fifo(file: Path) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


def folder(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.mkdir()


def link(file: Path) -> None:
    target = file.with_name("elsewhere")
    file.rename(target) if file.exists() else target.touch()
    file.symlink_to(target)


@pytest.mark.parametrize("name", [FILE, f"{FILE}-wal", LOCK])
@pytest.mark.parametrize("kind", [fifo, folder, link])
def test_what_is_no_file_is_named_and_left_alone(
    database: Database,
    journal: Path,
    kind: Callable[[Path], None],
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind(journal / name)
    before = sorted((file.name, file.lstat().st_mode) for file in journal.iterdir())
    done = send(database, journal)
    assert done.returncode == 1
    assert f"{journal / name} is not a regular file. Its files are left as they are" in done.stderr
    assert sorted((file.name, file.lstat().st_mode) for file in journal.iterdir()) == before

    with PromptTracker(database.conninfo, journal_dir=journal) as tracker:
        tracker.track_post_creation(prompt_id=PROMPT)
        assert tracker.flush(20)
    assert "is not a regular file" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
    assert len(sent_ids(database)) == 1


@pytest.mark.parametrize("damage", ["a page in the middle", "its header", "no database"])
def test_a_tracker_that_starts_on_a_damaged_journal_logs_it_and_goes_on(
    database: Database, journal: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGES[damage][0](journal / FILE)
    with PromptTracker(database.conninfo, journal_dir=journal) as tracker:
        tracked = {str(tracker.track_post_creation(prompt_id=PROMPT)) for _ in range(3)}
        tracker.flush(2)
        stats = tracker.stats()
    assert stats.failed == 0
    assert "ournal" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
    # At once, or, where the file still takes events, once it is sent.
    send(database, journal)
    assert tracked <= sent_ids(database)


def test_a_journal_that_breaks_meanwhile_holds_up_no_event_in_memory(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
        tracker.track_post_creation(prompt_id=PROMPT)
        assert tracker.flush(20)
        with closing(sqlite3.connect(tmp_path / FILE)) as tampered, tampered:
            tampered.execute("DROP TABLE waiting")
        tracker.track_post_creation(prompt_id=PROMPT)
        deadline = time.monotonic() + 20
        while tracker.stats().written < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert len(sent_ids(database)) == 2
    assert "no such table: waiting" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_times_that_nobody_wrote_are_no_reason_to_fail(database: Database, journal: Path) -> None:
    with closing(sqlite3.connect(journal / FILE)) as tampered, tampered:
        tampered.execute("UPDATE waiting SET accepted_at = 'never'")
    with PromptTracker(NOWHERE, journal_dir=journal) as tracker:
        tracker.flush(0)
        assert (tracker.stats().waiting, tracker.stats().oldest_waiting_at) == (EVENTS, None)
        tracker.close(0)
    assert send(database, journal).returncode == 0
    assert len(sent_ids(database)) == EVENTS


@given(st.binary() | st.text() | st.integers() | st.none() | st.floats() | st.sampled_from(sorted(ODD)))
def test_any_entry_is_an_event_or_a_rejected_one(entry: Any) -> None:
    given = ODD.get(entry, entry) if isinstance(entry, str) else entry
    record = _read(given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given)
    assert isinstance(record, Event | RejectedEvent)
    text = msgspec.json.encode(record).decode()
    assert "\\u0000" not in text
    assert _read(msgspec.json.encode(record)) == record


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, 60_000), length=st.integers(1, 10_000))
def test_damage_anywhere_ends_in_no_traceback(written: Path, tmp_path: Path, first: int, length: int) -> None:
    copy = tmp_path / uuid.uuid4().hex
    shutil.copytree(written, copy)
    accepted = set(accepted_ids(copy))
    flip(copy / FILE, first, first + length)
    found = rescue(copy)
    assert rescue(copy) is None
    if found:
        with closing(sqlite3.connect(copy / FILE)) as journal:
            assert journal.execute("SELECT count(*) FROM waiting").fetchone() == (found.read,)
    else:
        # What is damaged is within an entry, or where nothing stands.
        assert len(accepted) == EVENTS
    shutil.rmtree(copy)


ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
ENTRY = "INSERT INTO waiting (accepted_at, record) VALUES (1, '{}')"
CODE = {
    "a view": (
        [f"CREATE VIEW waiting AS {ENDLESS} SELECT n AS number, 1 AS accepted_at, x'' AS record FROM r"],
        0,
    ),
    "a view of a long value": (
        ["CREATE VIEW waiting AS SELECT 1 AS number, 1 AS accepted_at, zeroblob(900000000) AS record"],
        0,
    ),
    "a trigger with a name of ours": (
        [CREATE, ENTRY, f"CREATE TRIGGER unreadable AFTER DELETE ON waiting BEGIN {ENTRY}; END"],
        1,
    ),
    "a trigger that keeps entries": (
        [CREATE, ENTRY, "CREATE TRIGGER waiting BEFORE DELETE ON waiting BEGIN SELECT RAISE(IGNORE); END"],
        1,
    ),
    "a computed column": (
        [
            "CREATE TABLE waiting (number INTEGER PRIMARY KEY, accepted_at, x, record AS (zeroblob(x)))",
            "INSERT INTO waiting (accepted_at, x) VALUES (1, 900000000)",
        ],
        0,
    ),
    "an index": ([CREATE, ENTRY, "CREATE INDEX forged ON waiting (abs(record))"], 1),
    "keys that are no numbers": (
        [
            "CREATE TABLE waiting (number INTEGER PRIMARY KEY DESC, accepted_at, record)",
            "INSERT INTO waiting VALUES ('a', 1, '{}')",
        ],
        0,
    ),
}


@pytest.mark.parametrize("code", CODE)
def test_code_in_a_journal_is_not_run(tmp_path: Path, code: str, caplog: pytest.LogCaptureFixture) -> None:
    statements, readable_count = CODE[code]
    with closing(sqlite3.connect(tmp_path / FILE)) as tampered, tampered:
        for statement in statements:
            tampered.execute(statement)
    content = (tmp_path / FILE).read_bytes()

    # A live tracker goes on without it.
    with PromptTracker(NOWHERE, journal_dir=tmp_path) as tracker:
        tracker.track_post_creation(prompt_id=PROMPT)
        assert not tracker.flush(0)
        assert tracker.stats().waiting == 1
        tracker.close(0)
    assert "it contains objects of other programs" in caplog.text
    assert (tmp_path / FILE).read_bytes() == content

    found = rescue(tmp_path)
    assert found
    assert (found.read, found.kept.read_bytes()) == (readable_count, content)
    with closing(Journal(tmp_path, 2**28)) as journal:
        assert len(journal.take(10)) == readable_count
        if readable_count:
            journal.done()
        assert journal.take(10) == []


def test_code_that_comes_later_is_not_run_either(journal: Path) -> None:
    with closing(Journal(journal, 2**28)) as live:
        [record] = live.take(1)
        with closing(sqlite3.connect(journal / FILE)) as tampered, tampered:
            tampered.execute(CODE["a trigger that keeps entries"][0][2])
        for use in (
            lambda: live.add(record),
            live.done,
            live.count,
            lambda: live.take(1),
            lambda: live.forget(lambda _: True, 1.0),
        ):
            with pytest.raises(NotAJournalError, match="trigger waiting"):
                use()


def test_events_that_can_not_be_deleted_are_not_sent_for_ever(journal: Path) -> None:
    with closing(Journal(journal, 2**28)) as live:
        assert len(live.take(1)) == 1
        with closing(sqlite3.connect(journal / FILE)) as other, other:
            other.execute("DELETE FROM waiting WHERE number = (SELECT min(number) FROM waiting)")
        with pytest.raises(sqlite3.DatabaseError, match="can't be deleted"):
            live.done()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("owned", ["the folder", "the file"])
def test_root_does_not_work_in_another_users_journal(database: Database, journal: Path, owned: str) -> None:
    secret = journal.parent / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    with closing(sqlite3.connect(journal / FILE)) as tampered, tampered:
        tampered.execute("CREATE TABLE extra (x)")
    (journal / f"{FILE}.new").symlink_to(secret)
    os.chown(journal if owned == "the folder" else journal / FILE, 65534, 65534)
    before = sorted((file.name, file.lstat().st_mtime_ns) for file in journal.iterdir())

    done = send(database, journal)
    assert done.returncode == 1
    assert "it belongs to nobody. Run it as nobody" in done.stderr
    with database.engine.connect() as connection:
        person = read_person(connection, database.names, str(uuid.uuid4()))
    assert delete_waiting(journal, person) == (
        0,
        {str(journal / FILE): "it belongs to nobody: run it as nobody"},
    )
    assert sorted((file.name, file.lstat().st_mtime_ns) for file in journal.iterdir()) == before
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777, secret.read_text()) == (0, 0o600, "root's")


@pytest.mark.parametrize("kind", [link, fifo])
def test_a_private_file_is_neither_a_link_nor_a_pipe(tmp_path: Path, kind: Callable[[Path], None]) -> None:
    kind(tmp_path / "file")
    (tmp_path / "elsewhere").touch()
    (tmp_path / "elsewhere").chmod(0o644)
    with pytest.raises(OSError, match=r"levels of symbolic links|No such device|no regular file"):
        private_file(tmp_path / "file")
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o644
