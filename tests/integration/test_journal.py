"""Events that wait, in memory or on disk, survive forks, signals, kills, a full disk."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.tracking import PromptTracker
from pipeline.tracking import tracker as tracker_module
from pipeline.tracking.journal import FILE
from tests.command import REPOSITORY

PROMPT_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
NOWHERE = "postgresql://app@127.0.0.1:1/app"
STRIDE = 11
"""Of the steps of a call, every eleventh is tried: each costs a process."""

START = """
import asyncio, os, signal, sys, time, uuid
from pipeline.tracking import PromptTracker

tracker = PromptTracker({url!r}, journal_dir={journal!r})

def track(**values):
    return tracker.track_post_creation(prompt_id="{prompt}", **values)
"""


def program(text: str, url: str, journal: Path | None = None) -> subprocess.Popen[str]:
    """A process with a tracker, and a function ``track``."""
    start = START.format(url=url, journal=str(journal) if journal else None, prompt=PROMPT_ID)
    return subprocess.Popen(
        [sys.executable, "-c", start + dedent(text)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    """What it printed until its end, which has to be a good one."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.split()


def ids(database: Database) -> list[str]:
    """The ids of the events in the table."""
    with psycopg.connect(database.conninfo) as connection:
        return [str(row[0]) for row in connection.execute("SELECT id FROM prompt_usage ORDER BY ingest_xid")]


def killed(url: str, journal: Path, events: int) -> list[str]:
    """What a process accepted that was killed at any point after so many events."""
    log = journal / "accepted"
    log.write_text("")
    process = program(
        f"log = open({str(log)!r}, 'a')\nwhile True: print(track(), file=log, flush=True)", url, journal
    )
    while log.read_text().count("\n") < events:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    return log.read_text().split("\n")[:-1]


def assert_sent_once(database: Database, journal: Path, accepted: list[str], kills: int) -> None:
    """Sends what the journal holds; then each accepted event is there once, and hardly any other."""
    with PromptTracker(database.conninfo, journal_dir=journal) as tracker:
        assert tracker.flush(30)
    there = ids(database)
    assert len(there) == len(set(there))
    assert set(accepted) <= set(there)
    # A killed process may have accepted one more that it could not say.
    assert len(there) <= len(accepted) + kills


def test_what_a_killed_process_accepted_is_sent_by_the_next_one(database: Database, tmp_path: Path) -> None:
    assert_sent_once(database, tmp_path, killed(NOWHERE, tmp_path, 200), kills=1)


def test_a_kill_while_events_are_sent_loses_and_doubles_nothing(database: Database, tmp_path: Path) -> None:
    accepted = [event_id for _ in range(5) for event_id in killed(database.conninfo, tmp_path, 300)]
    assert_sent_once(database, tmp_path, accepted, kills=5)


def test_processes_share_a_journal(database: Database, tmp_path: Path) -> None:
    work = "print(*[track() for _ in range(300)]); tracker.flush(20)"
    processes = [program(work, database.conninfo, tmp_path) for _ in range(3)]
    accepted = [event_id for process in processes for event_id in said(process)]
    with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
        assert tracker.flush(20)
        assert tracker.stats().waiting == 0
    assert sorted(ids(database)) == sorted(accepted)


def test_the_journal_is_sent_in_order_of_acceptance(database: Database, tmp_path: Path) -> None:
    accepted = said(program("print(*[track() for _ in range(100)]); tracker.close(0)", NOWHERE, tmp_path))
    with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
        assert tracker.flush(20)
    with psycopg.connect(database.conninfo) as connection:
        rows = connection.execute("SELECT id FROM prompt_usage ORDER BY ctid").fetchall()
    assert [str(row[0]) for row in rows] == accepted


def test_an_event_sent_by_the_journal_and_directly_counts_once(database: Database, tmp_path: Path) -> None:
    event_id = uuid.uuid4()
    with PromptTracker(NOWHERE, journal_dir=tmp_path) as tracker:
        tracker.track_post_creation(prompt_id=PROMPT_ID, event_id=event_id)
        tracker.close(0)
    with PromptTracker(database.conninfo, mode="direct") as tracker:
        tracker.track_post_creation(prompt_id=PROMPT_ID, event_id=event_id)
    with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
        assert tracker.flush()
    assert ids(database) == [str(event_id)]


@pytest.mark.parametrize("has_journal", [False, True], ids=["memory", "journal"])
def test_a_forked_process_sends_its_own_events_and_its_parent_sends_its_own(
    database: Database, tmp_path: Path, *, has_journal: bool
) -> None:
    forks = """
        before = [track() for _ in range(10)]
        tracker.flush() if len(sys.argv) > 1 else None
        before += [track() for _ in range(10)]
        children = []
        for _ in range(3):
            child = os.fork()
            if not child:
                mine = [track() for _ in range(10)]
                assert tracker.stats().accepted == 10
                os.write(1, ("\\n".join(map(str, mine)) + "\\n").encode())
                sys.exit()
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        after = [track() for _ in range(10)]
        os.write(1, ("\\n".join(map(str, before + after)) + "\\n").encode())
    """
    accepted = said(program(forks, database.conninfo, tmp_path if has_journal else None))
    assert len(accepted) == 60
    assert sorted(ids(database)) == sorted(accepted)


def test_an_interrupt_ends_the_process_as_ever_but_with_its_events_sent(database: Database) -> None:
    process = program(
        "print(*[track() for _ in range(50)], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)",
        database.conninfo,
    )
    out, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert sorted(ids(database)) == sorted(out.split())


def test_signals_are_left_to_the_app(database: Database) -> None:
    tracks = """
        before = [signal.getsignal(each) for each in signal.valid_signals()]
        track()
        assert [signal.getsignal(each) for each in signal.valid_signals()] == before
    """
    said(program(tracks, database.conninfo))
    assert len(ids(database)) == 1


@pytest.mark.parametrize("has_journal", [False, True], ids=["memory", "journal"])
def test_a_handler_of_the_apps_may_interrupt_a_call_at_any_step(
    database: Database, tmp_path: Path, *, has_journal: bool
) -> None:
    """The process ends by itself, and what was accepted is sent, or stays in the journal."""
    forks = """
        def closes_and_exits(*_):
            tracker.close()
            sys.exit()

        handlers = [lambda *_: sys.exit(), closes_and_exits, lambda *_: print(track(), flush=True)]

        def interrupted(step):
            signal.alarm(30)
            signal.signal(signal.SIGTERM, handlers[step % 3])
            print(track(), flush=True)
            steps = iter(range(step))
            def trace(*_):
                if next(steps, None) == step - 1:
                    sys.settrace(None)
                    signal.raise_signal(signal.SIGTERM)
                return trace
            sys.settrace(trace)
            track()
            is_through = sys.gettrace()
            sys.settrace(None)
            print(track(), flush=True)
            sys.exit(3 if is_through else 0)

        step, status = 0, 0
        while status == 0:
            step += STRIDE
            child = os.fork() or interrupted(step)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert (step > 50, status) == (True, 3), (step, status)
    """
    text = forks.replace("STRIDE", str(STRIDE))
    accepted = said(program(text, database.conninfo, tmp_path if has_journal else None))
    if has_journal:
        with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
            assert tracker.flush(30)
    assert not set(accepted) - set(ids(database))


def test_an_event_loop_is_not_held_up(database: Database) -> None:
    async def app(tracker: PromptTracker) -> float:
        longest = 0.0
        for _ in range(2_000):
            began = time.perf_counter()
            tracker.track_post_creation(prompt_id=PROMPT_ID)
            longest = max(longest, time.perf_counter() - began)
            await asyncio.sleep(0)
        return longest

    with psycopg.connect(database.conninfo) as connection, PromptTracker(database.conninfo) as tracker:
        connection.execute("LOCK TABLE prompt_usage")
        assert asyncio.run(app(tracker)) < 0.5
        connection.rollback()
        assert tracker.flush(30)
    assert len(ids(database)) == 2_000


def test_a_full_journal_leaves_the_events_in_memory(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracker_module, "JOURNAL_BYTES", 200_000)
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("LOCK TABLE prompt_usage")
        with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
            for _ in range(1_000):
                tracker.track_post_creation(prompt_id=PROMPT_ID, scene="x" * 500)
            assert tracker.stats().waiting == 1_000
            assert "wait in memory: database or disk is full" in caplog.text
            connection.rollback()
            assert tracker.flush(30)
    assert len(ids(database)) == 1_000


def test_an_event_after_the_end_waits_in_the_journal(database: Database, tmp_path: Path) -> None:
    with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
        tracker.close()
        tracker.track_post_creation(prompt_id=PROMPT_ID)
        assert tracker.stats().failed == 0
    with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
        assert tracker.flush()
    assert len(ids(database)) == 1


WORKERS = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    from pipeline.tracking import PromptTracker
    address, prompt, way, method = sys.argv[1:]
    tracker = PromptTracker(address)

    def work(number):
        for _ in range(50):
            tracker.track_post_creation(prompt_id=prompt)

    if __name__ == "__main__":
        context = multiprocessing.get_context(method)
        if way == "process":
            processes = [context.Process(target=work, args=(number,)) for number in range(2)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
        elif way == "pool":
            pool = context.Pool(2)
            pool.map(work, range(2), chunksize=1)
            pool.close()
            pool.join()
        else:
            with ProcessPoolExecutor(2, context) as executor:
                list(executor.map(work, range(2)))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("way", ["process", "pool", "executor"])
def test_workers_of_multiprocessing_send_their_events(
    database: Database, tmp_path: Path, way: str, method: str
) -> None:
    program = tmp_path / "workers.py"
    program.write_text(dedent(WORKERS))
    done = subprocess.run(
        [sys.executable, str(program), database.conninfo, str(PROMPT_ID), way, method],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(ids(database)) == 100


@pytest.mark.parametrize("damage", ["a folder", "no database"])
def test_a_journal_that_can_not_be_opened_is_no_reason_to_fail(
    database: Database, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    if damage == "a folder":
        (tmp_path / FILE).mkdir()
    else:
        (tmp_path / FILE).write_text("no database" * 1_000)
    with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
        tracker.track_post_creation(prompt_id=PROMPT_ID)
    assert "The journal in" in caplog.text
    assert len(ids(database)) == 1


def test_an_entry_that_can_not_be_read_is_kept_as_rejected(database: Database, tmp_path: Path) -> None:
    with PromptTracker(NOWHERE, journal_dir=tmp_path) as tracker:
        tracker.track_post_creation(prompt_id=PROMPT_ID)
        tracker.close(0)
    with sqlite3.connect(tmp_path / FILE) as journal:
        journal.execute(
            "INSERT INTO waiting (accepted_at, record) VALUES (0, ?)", (b'{"type":"later"}\0\xff',)
        )
    with PromptTracker(database.conninfo, journal_dir=tmp_path) as tracker:
        assert tracker.flush()
    with psycopg.connect(database.conninfo) as connection:
        rows: Any = connection.execute("SELECT reason, payload FROM prompt_usage_rejected").fetchall()
    assert len(ids(database)) == 1
    assert "the journal's entry can't be read" in rows[0][0]
    assert rows[0][1] == {"record": '{"type":"later"}\\x00\\xff'}


def test_a_journal_that_can_not_be_read_any_more_is_no_reason_to_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with PromptTracker(NOWHERE, journal_dir=tmp_path) as tracker:
        tracker.track_post_creation(prompt_id=PROMPT_ID)
        with sqlite3.connect(tmp_path / FILE) as journal:
            journal.execute("DROP TABLE waiting")
        assert tracker.stats().waiting == 0
        assert "The journal can't be read: no such table" in caplog.text
        assert not tracker.flush(0.1)
        tracker.close(0)
