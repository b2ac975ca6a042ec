"""Writers under load while the database is stopped, killed and restarted, and writers are killed too.

Five rounds here, a hundred on demand:
``pytest tests/integration/test_chaos.py --hypothesis-profile=thorough``.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline.adoption import schema
from pipeline.database.connections import Database
from pipeline.database.embedded import client
from pipeline.database.embedded.server import Server
from pipeline.refresh import refresh
from pipeline.tracking import PromptTracker
from tests.app import at
from tests.command import REPOSITORY

PROMPT_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
ROUNDS, THOROUGH_ROUNDS = 5, 100
WRITERS = 3

WRITER = """
import sys, time
from pipeline.tracking import PromptTracker

url, mode, journal, log = sys.argv[1:]
tracker = PromptTracker(url, mode=mode, journal_dir=journal)
with open(log, "a") as accepted:
    while True:
        for _ in range(20):
            print(tracker.track_post_creation(prompt_id="{prompt}"), file=accepted, flush=True)
        time.sleep(0.005)
"""


class App:
    """Processes that track events, each of which says what was accepted."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.journal = folder / "journal"
        self.numbers = itertools.count()
        self.processes = [self.start() for _ in range(WRITERS)]
        self.killed_count = 0

    def start(self) -> subprocess.Popen[bytes]:
        """One more process; every third one tracks directly."""
        number = next(self.numbers)
        mode = "direct" if number % 3 == 0 else "buffered"
        return subprocess.Popen(
            [
                *(sys.executable, "-c", WRITER.format(prompt=PROMPT_ID)),
                *(self.url, mode, str(self.journal), str(self.folder / f"accepted-{number}")),
            ],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stderr=subprocess.DEVNULL,
        )

    def kill_one(self) -> None:
        """As the kernel would; another takes its place."""
        self.processes[0].kill()
        self.processes[0].wait()
        self.killed_count += 1
        self.processes = [*self.processes[1:], self.start()]

    def end(self) -> None:
        """As a deployment does."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            assert process.wait(30) == -signal.SIGTERM

    def accepted(self) -> list[str]:
        """The ids that the calls returned."""
        logs = [log.read_text().split("\n")[:-1] for log in self.folder.glob("accepted-*")]
        return list(itertools.chain.from_iterable(logs))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app on a server of its own."""
    url = client.start(tmp_path)
    database = Database.from_url(url)
    schema.migrate(database)
    database.close()
    (tmp_path / "app").mkdir()
    app = App(url, tmp_path / "app")
    yield app
    for process in app.processes:
        process.kill()


def postmaster(home: Path) -> int:
    """The server's process."""
    return int((Server(home / "postgres").data / "postmaster.pid").read_text().split()[0])


def test_what_was_accepted_is_counted_exactly(
    app: App, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    is_thorough = request.config.getoption("--hypothesis-profile") == "thorough"
    rounds = THOROUGH_ROUNDS if is_thorough else ROUNDS
    chance = random.Random(rounds)  # noqa: S311  # the same each time, no secret
    harm = [signal.SIGKILL, signal.SIGINT, signal.SIGQUIT, None]
    for number in range(rounds):
        time.sleep(chance.uniform(0.2, 1.5))
        number_of_harm = number if number < len(harm) else chance.randrange(len(harm))
        what = harm[number_of_harm]
        if what is None:
            app.kill_one()
        else:
            os.kill(postmaster(tmp_path), what)
            if chance.random() < 0.5:
                app.kill_one()
            client.start(tmp_path)
    app.end()
    database = Database.from_url(client.start(tmp_path))
    with PromptTracker(database.conninfo, journal_dir=app.journal) as tracker:
        assert tracker.flush(60)
    with psycopg.connect(database.conninfo) as connection:
        there = [str(row[0]) for row in connection.execute("SELECT id FROM prompt_usage")]
    accepted = app.accepted()
    assert len(accepted) > 100 * rounds
    assert not set(accepted) - set(there)
    assert len(there) == len(set(there))
    # A process that was killed may have accepted one more than it could say.
    assert len(there) - len(accepted) <= app.killed_count + WRITERS
    report = refresh(at(database, str(tmp_path / "lake")))
    database.close()
    assert report.usage_count == len(there)
