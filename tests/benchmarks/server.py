"""The benchmark's own embedded server, on a temporary folder that is gone afterwards.

A process of its own holds it: ``python -m tests.benchmarks.server HOME`` prints the URL and ends with its
standard input. So the server outlives a Ctrl-C for as long as cleaning up takes, and no longer.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import fasteners
import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from pipeline.adoption import schema
from pipeline.database.connections import Database
from pipeline.database.embedded import client
from pipeline.database.embedded.server import Server
from tests.command import REPOSITORY

STOP_SECONDS = 60
ENDINGS = (signal.SIGINT, signal.SIGTERM)

SETTINGS = {
    "shared_buffers": "2GB",
    "effective_cache_size": f"{psutil.virtual_memory().total // 2**21}MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "max_parallel_workers": "2",
    "max_parallel_workers_per_gather": "2",
}
"""A production server's on a machine of this size, for both contestants; all else as the embedded server
has it. Its build has no JIT compiler."""


class Place(NamedTuple):
    """Where the benchmark works: the server's URL, and a temporary folder, for lakes."""

    url: str
    folder: Path


@contextmanager
def running_server() -> Iterator[Place]:
    """A server of its own for the block. Afterwards it is down, and all that lay in the folder is gone."""
    folder = Path(tempfile.mkdtemp(prefix="prompt-stats-benchmark-"))
    # Run by root, the server belongs to another user, who has to pass through.
    folder.chmod(0o711)
    # Ctrl-C is for the benchmark, not for the holder: a session of its own.
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.server", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    try:
        assert holder.stdout
        url = holder.stdout.readline().strip()
        if not url:
            raise RuntimeError("the embedded server did not start; what it said is above")
        yield Place(url, folder)
    finally:
        # Impatience must not leave gigabytes behind.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in ENDINGS}
        _stop(holder, folder)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _stop(holder: subprocess.Popen[str], folder: Path) -> None:
    assert holder.stdin
    holder.stdin.close()
    holder.wait()
    root = folder / "postgres"
    server = Server(root)
    area = server.area
    # The supervisor holds this lock until the server is down and it has nothing more to do.
    if not fasteners.InterProcessLock(root / "supervisor.lock").acquire(timeout=STOP_SECONDS):
        with suppress(OSError):
            os.kill(int((server.data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
            time.sleep(2)
    shutil.rmtree(area, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    for left in (area, folder):
        if left.exists():
            print(f"Could not be removed: {left}", file=sys.stderr)


@contextmanager
def new_database(place: Place, name: str, *, is_migrated: bool = True) -> Iterator[Database]:
    """An empty database for the block, with the current schema or without any."""
    with psycopg.connect(place.url, autocommit=True) as administrator:
        administrator.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    database = Database.from_url(make_conninfo(place.url, dbname=name))
    try:
        if is_migrated:
            schema.migrate(database)
        yield database
    finally:
        database.close()
        with psycopg.connect(place.url, autocommit=True) as administrator:
            administrator.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def new_lake(place: Place, name: str) -> Iterator[str]:
    """The root of a lake that is empty, and gone after the block."""
    lake = place.folder / name
    lake.mkdir()
    try:
        yield str(lake)
    finally:
        shutil.rmtree(lake)


def hold(home: Path) -> None:
    """Keeps a server with :data:`SETTINGS` up until standard input ends."""
    root = home / "postgres"
    root.mkdir()
    root.chmod(0o711)
    server = Server(root)
    server.initialise()
    # What ALTER SYSTEM writes; some of it would take a restart.
    with (server.data / "postgresql.auto.conf").open("a") as configuration:
        configuration.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
    print(client.start(home), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    hold(Path(sys.argv[1]))
