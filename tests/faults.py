"""Processes that work on a database and a lake, and to which something happens at a chosen instant.

``python -m tests.faults`` reads a task a line, as JSON, and answers each with how it ended. It imports
everything once and forks for each task, so that a kill costs no start of Python: :class:`Children` is its
other end.

A new scenario is a line in :data:`SCENARIOS`, a new fault one in :data:`FAULTS`.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import json
import os
import random
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import adbc_driver_manager.dbapi
import adbc_driver_postgresql.dbapi  # noqa: F401  imported late by the pipeline, which would cost each child
import psutil
import psycopg
import pyarrow as pa
from sqlalchemy.exc import DBAPIError

from pipeline.database.connections import Database
from pipeline.days import ONE_DAY, DayRange
from pipeline.errors import PromptStatsError
from pipeline.lake import source, upkeep, usage_events
from pipeline.lake.delta_table import DailyTable
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.refresh import refresh
from tests import sessions
from tests.app import at
from tests.command import REPOSITORY
from tests.conftest import FIRST_DAY

CHILD = "a child of tests.faults"
"""The name of a child's connections."""

HANG_SECONDS = 60
"""A child that takes longer hangs: it is killed, and the outcome says so."""


# What children do -----------------------------------------------------------------------------------


LEAVER = uuid.UUID(int=1001)
"""The user who is erased."""


def backfill(database: Database, lake: str) -> None:
    """Reads the first year and the last month again, whole."""
    today = dt.datetime.now(dt.UTC).date()
    days = {
        *DayRange(FIRST_DAY, FIRST_DAY + 365 * ONE_DAY).days(),
        *DayRange(today - 30 * ONE_DAY, today + ONE_DAY).days(),
    }
    refresh(at(database, lake), days, replace=True)


def keep_up(database: Database, lake: str) -> None:
    """Joins small files and deletes all that were replaced, however young."""
    upkeep.compact(at(database, lake))
    upkeep.clean(at(database, lake), dt.timedelta(0))


REFRESH, RETENTION, ERASURE = "refresh", "retention", "erasure"
SCENARIOS: dict[str, Callable[[Database, str], object]] = {
    REFRESH: lambda database, lake: refresh(at(database, lake)),
    "backfill": backfill,
    "reconcile": lambda database, lake: reconcile(at(database, lake)),
    "upkeep": keep_up,
    RETENTION: lambda database, lake: retain(at(database, lake), days=2),
    ERASURE: lambda database, lake: erase_user(at(database, lake), str(LEAVER)),
}
"""What may be interrupted anywhere."""

ENDLESS = "endless"
"""What may run while the app writes, in any order, until it is killed."""


def endless(database: Database, lake: str) -> None:
    """See :data:`ENDLESS`."""
    # The children of one process would all throw the same.
    dice = random.SystemRandom()
    while True:
        SCENARIOS[dice.choice([REFRESH, REFRESH, "backfill", "reconcile", "upkeep"])](database, lake)


FIRST_LOAD = "first load"
"""A refresh that commits the raw events of one day at a time."""


def first_load(database: Database, lake: str) -> None:
    """See :data:`FIRST_LOAD`."""
    usage_events.EVENTS_PER_BATCH = 1
    refresh(at(database, lake))


# What happens to them -------------------------------------------------------------------------------


def kill(_: Task) -> None:
    """What the kernel does to a process when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk(_: Task, free: int) -> None:
    """From now on no file of this process can grow beyond ``free`` bytes, but for temporary ones."""
    tempfile.gettempdir()  # tries, once, whether a file can be written
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, free))


def stop_database(task: Task) -> None:
    """The server ends at once and all its sessions with it, as in a crash."""
    with contextlib.closing(psycopg.connect(task.conninfo)) as connection:
        postmaster = psutil.Process(connection.info.backend_pid).parent()
    assert postmaster
    postmaster.send_signal(signal.SIGQUIT)
    with contextlib.suppress(psutil.NoSuchProcess):
        # Where no init reaps it, it stays a zombie.
        while postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def restart_database(task: Task) -> None:
    """The server ends at once, and answers again before the child goes on."""
    stop_database(task)
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(task.conninfo).close()
            return
        time.sleep(0.05)


def end_sessions(task: Task, which: str) -> None:
    """The server ends some of the child's sessions, and answers new ones."""
    # No block of a connection: that would commit, which is a step.
    with contextlib.closing(psycopg.connect(task.conninfo, autocommit=True)) as connection:
        sessions.end_sessions(
            connection, f"application_name = '{CHILD}' AND pid <> pg_backend_pid() AND {which}"
        )


HOLDS_A_LOCK = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
READS_IN_BULK = "query LIKE 'COPY (%'"

KILLED_BEFORE = "killed before step"
KILLED_AFTER = "killed after step"
DISK_FULL = "disk full from step"
DISK_NEARLY_FULL = "disk nearly full from step"
DATABASE_STOPPED = "database stopped before step"
DATABASE_RESTARTED = "database restarted before step"
SESSIONS_ENDED = "sessions ended before step"
LOCK_LOST = "lock lost before step"
READER_LOST = "reader lost before step"

FAULTS: dict[str, Callable[[Task], None]] = {
    KILLED_BEFORE: kill,
    KILLED_AFTER: kill,
    DISK_FULL: partial(fill_disk, free=0),
    DISK_NEARLY_FULL: partial(fill_disk, free=64 * 1024),
    DATABASE_STOPPED: stop_database,
    DATABASE_RESTARTED: restart_database,
    SESSIONS_ENDED: partial(end_sessions, which="true"),
    LOCK_LOST: partial(end_sessions, which=HOLDS_A_LOCK),
    READER_LOST: partial(end_sessions, which=READS_IN_BULK),
}
"""What a child does to itself at a step."""

KILLED_AT_FILE = "killed at file"
"""From outside, when so many files of the lake have come or gone."""
KILLED_AT_SECOND = "killed at second"
"""From outside, after so many seconds."""

LAKE_COMMITS = ("append", "replace", "compact", "clean")
"""The methods of a lake table that write."""

NEXT_EVENTS = "next events"
"""The step that reads a batch of events."""


@dataclass(frozen=True)
class Task:
    """A scenario, what it works on, and what happens to it.

    ``fault``: of :data:`FAULTS`, or of the two above; ``number``: at which step, file or second.
    """

    scenario: str
    conninfo: str
    lake: str
    fault: str
    number: float


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    ``status``: its exit code, or the signal that ended it, negative. ``steps``: those that began, where it
    lived to tell; ``step``: the one at which the fault happened. ``error``: what it raised, if it did;
    ``is_clear``: the command line shows that as a text. ``file_changes``: how many files of the lake came
    or went.
    """

    status: int
    steps: tuple[str, ...] = ()
    step: str = ""
    error: str = ""
    is_clear: bool = False
    details: str = ""
    file_changes: int = 0
    is_hung: bool = False

    def __str__(self) -> str:
        return f"status {self.status} {self.step} {self.error}\n{self.details}"

    @property
    def is_killed(self) -> bool:
        """Whether the child ended by ``kill -9``."""
        return self.status == -signal.SIGKILL and not self.is_hung


class Steps:
    """The steps of a scenario, in order; at the chosen one the fault happens.

    Steps are the commits of the lake and of Postgres, which last, and the bulk reads in between: each query,
    and each batch of events.
    """

    def __init__(self, task: Task, say: Callable[..., None]) -> None:
        self.task = task
        self.say = say
        self.names: list[str] = []

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Runs the block as a step."""
        self.names.append(name)
        is_chosen = len(self.names) == self.task.number and self.task.fault in FAULTS
        if is_chosen and self.task.fault != KILLED_AFTER:
            self._happen(name)
        yield
        if is_chosen and self.task.fault == KILLED_AFTER:
            self._happen(name)

    def watch(self) -> None:
        """Makes the real functions, in this process, steps."""
        for name in LAKE_COMMITS:
            self._wrap(DailyTable, name, lambda table, *_, name=name: f"{name} {table.name}")
        self._wrap(psycopg.Connection, "commit", lambda _: "commit")
        self._wrap(adbc_driver_manager.dbapi.Cursor, "execute", _bulk_query)
        self._wrap_reader()

    def _happen(self, name: str) -> None:
        self.say(step=name)
        FAULTS[self.task.fault](self.task)

    def _wrap(self, kind: type, method: str, title: Callable[..., str]) -> None:
        real = getattr(kind, method)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            name = title(*arguments)
            with self.step(name) if name else contextlib.nullcontext():
                return real(*arguments, **options)

        setattr(kind, method, wrapped)

    def _wrap_reader(self) -> None:
        real = source.usage_events

        @contextlib.contextmanager
        def usage_events(*arguments: Any, **options: Any) -> Iterator[pa.RecordBatchReader]:
            with real(*arguments, **options) as reader:

                def batches() -> Iterator[pa.RecordBatch]:
                    while True:
                        with self.step(NEXT_EVENTS):
                            batch = next(reader, None)
                        if batch is None:
                            return
                        yield batch

                yield pa.RecordBatchReader.from_batches(reader.schema, batches())

        source.usage_events = usage_events


def _bulk_query(_: object, statement: str, *__: object) -> str:
    return "" if statement.startswith("SELECT set_config") else "bulk query"


# The process that forks -----------------------------------------------------------------------------


def run(task: Task, pipe: int) -> int:
    """In the child: runs the scenario; says what happened; returns the exit code."""

    def say(**words: object) -> None:
        os.write(pipe, json.dumps(words).encode() + b"\n")

    steps = Steps(task, say)
    try:
        steps.watch()
        work = {**SCENARIOS, ENDLESS: endless, FIRST_LOAD: first_load}[task.scenario]
        work(Database(task.conninfo), task.lake)
    except BaseException as error:  # a panic of a Rust library is no Exception
        say(
            error=f"{type(error).__name__}: {error}",
            is_clear=isinstance(error, (PromptStatsError, DBAPIError)),
            details=traceback.format_exc()[-5000:],
        )
        return 1
    finally:
        say(steps=steps.names)
    return 0


class FileChanges:
    """Counts the files below a folder that come or go: the kernel tells it at once, by inotify."""

    CAME, RENAMED, WENT = 0x100, 0x80, 0x200
    HEADER = struct.Struct("iIII")

    def __init__(self, folder: str) -> None:
        self._kernel = ctypes.CDLL(None, use_errno=True)
        self.descriptor = int(self._kernel.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self.count = 0
        for each, _, _ in os.walk(folder):
            mask = self.CAME | self.RENAMED | self.WENT
            self._kernel.inotify_add_watch(self.descriptor, os.fsencode(each), mask)

    def read(self) -> None:
        """Counts those since the last time."""
        with contextlib.suppress(BlockingIOError):
            events = os.read(self.descriptor, 65536)
            position = 0
            while position < len(events):
                *_, length = self.HEADER.unpack_from(events, position)
                position += self.HEADER.size + length
                self.count += 1


def supervise(task: Task) -> Outcome:
    """Forks a child for the task, kills it where that is to come from outside, and waits for its end."""
    changes = FileChanges(task.lake)
    reading, writing = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            status = run(task, writing)
        finally:
            os._exit(status)
    os.close(writing)
    said, is_hung = b"", False
    while True:
        ready = select.select([reading, changes.descriptor], [], [], 0.01)[0]
        changes.read()
        seconds = time.monotonic() - start
        is_hung = seconds > HANG_SECONDS
        is_due = {KILLED_AT_FILE: changes.count, KILLED_AT_SECOND: seconds}.get(task.fault, -1) >= task.number
        if is_due or is_hung:
            os.kill(child, signal.SIGKILL)
            break
        if reading in ready:
            part = os.read(reading, 65536)
            if not part:
                break
            said += part
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reading)
    os.close(changes.descriptor)
    words: dict[str, Any] = {"file_changes": changes.count, "is_hung": is_hung}
    for line in said.splitlines():
        words |= json.loads(line)
    return Outcome(status, **words)


def serve() -> None:
    """Answers tasks until there are no more."""
    for line in sys.stdin:
        print(json.dumps(asdict(supervise(Task(**json.loads(line))))), flush=True)


class Children:
    """The other end of the process above: close it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults"],
            cwd=REPOSITORY,
            # A pool of threads that stands before the fork would not after it.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, scenario: str, database: Database, lake: str, fault: str = "", number: float = 0
    ) -> Outcome:
        """How a child ends that runs the scenario, and to which the fault happens."""
        assert self._process.stdin
        assert self._process.stdout
        task = Task(scenario, database.named(CHILD).conninfo, lake, fault, number)
        print(json.dumps(asdict(task)), file=self._process.stdin, flush=True)
        return Outcome(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


if __name__ == "__main__":
    serve()
