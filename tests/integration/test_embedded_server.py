"""The embedded server: shared, restarted, stopped, whoever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline.database.embedded import client
from pipeline.database.embedded.server import OWNER, _identities, binaries, remove_orphans
from tests.command import REPOSITORY, environment, prompt_stats

CLIENT = """
import os
import sys
from pathlib import Path
from pipeline.database.embedded import client
from pipeline.database.embedded.server import OWNER, _identities, remove_orphans
print(client.start(Path(sys.argv[1])), flush=True)
if sys.stdin.readline():
    os.execvp("cat", ["cat"])
"""


class Client:
    """A process that uses the embedded server of a home until it is told to end."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(home)],
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("postgresql://")

    def replace(self) -> None:
        """Puts another program in the process's place, which ends as it would."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Lets the process end by itself."""
        self.process.communicate()

    def kill(self) -> None:
        """Kills it as the kernel would."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Client]]:
    """Starts clients of one home, whose path has a space."""
    clients: list[Client] = []

    def one_more() -> Client:
        clients.append(Client(tmp_path / "a home"))
        return clients[-1]

    yield one_more
    for each in clients:
        if each.process.poll() is None:
            each.kill()


def answers(url: str) -> bool:
    """Whether the server accepts a connection."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def postmaster(url: str) -> int:
    """The process id of the postmaster: the parent of the one that serves us."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row
        return int(Path(f"/proc/{row[0]}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_two_processes_share_a_server_and_the_last_one_stops_it(start: Callable[[], Client]) -> None:
    first, second = start(), start()
    assert first.url == second.url
    first.end()
    time.sleep(1)
    assert answers(second.url)
    second.end()
    assert eventually(lambda: not answers(second.url))


def test_killed_owner_leaves_the_server_to_the_others_and_none_behind(start: Callable[[], Client]) -> None:
    owner, other = start(), start()
    owner.kill()
    time.sleep(1)
    assert answers(other.url)
    other.kill()
    assert eventually(lambda: not answers(other.url))


def test_program_that_takes_a_clients_place_keeps_the_server(start: Callable[[], Client]) -> None:
    client = start()
    client.replace()
    time.sleep(1)
    assert answers(client.url)
    client.end()
    assert eventually(lambda: not answers(client.url))


def test_killed_postmaster_comes_back_at_the_same_address_with_the_data(start: Callable[[], Client]) -> None:
    user = start()
    with psycopg.connect(user.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    os.kill(postmaster(user.url), signal.SIGKILL)
    assert eventually(lambda: not answers(user.url) or postmaster_is_new(user.url), 10)
    assert eventually(lambda: answers(user.url))
    with psycopg.connect(user.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (1,)


def postmaster_is_new(url: str) -> bool:
    """Whether the server was started within the last seconds."""
    try:
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT now() - pg_postmaster_start_time() < interval '2 seconds'"
            ).fetchone()
    except psycopg.OperationalError:
        return False
    return bool(row and row[0])


def test_server_keeps_its_address_over_a_restart(start: Callable[[], Client]) -> None:
    first = start()
    first.end()
    assert eventually(lambda: not answers(first.url))
    assert start().url == first.url


def test_server_listens_on_loopback_with_a_password(start: Callable[[], Client]) -> None:
    url = start().url
    with psycopg.connect(url) as connection:
        settings = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories'),"
            " current_setting('TimeZone'), datcollate, encoding = pg_char_to_encoding('UTF8')"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert settings is not None
    assert settings[:3] == ("127.0.0.1", "", "UTC")
    assert settings[4] is True
    password = url.split("@")[0].rsplit(":", 1)[1]
    assert not answers(url.replace(password, "wrong"))


def test_private_parent_keeps_its_permissions(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    done = prompt_stats(private / "home", "migrate")
    assert done.returncode == 0, done.stderr
    assert private.stat().st_mode & 0o777 == 0o700


def test_unwritable_home_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    done = prompt_stats(file / "home", "migrate")
    assert done.returncode == 1
    assert "PROMPT_STATS_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_start_is_repeatable_in_a_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert client.start(home) == client.start(home)


def test_area_of_a_deleted_home_is_removed_and_that_of_a_hidden_one_is_kept(tmp_path: Path) -> None:
    areas = {}
    for name in ("kept", "deleted", "hidden"):
        home = tmp_path / "disk" / name / "postgres"
        home.mkdir(parents=True)
        areas[name] = tmp_path / "fallback" / name
        areas[name].mkdir(parents=True)
        (areas[name] / OWNER).write_text(json.dumps(_identities(home)))
        if name != "kept":
            shutil.rmtree(home.parent)
    # As an unmounted disk looks: the same path, another folder.
    remembered = json.loads((areas["hidden"] / OWNER).read_text())
    remembered[str(tmp_path / "disk")] = [0, 0]
    (areas["hidden"] / OWNER).write_text(json.dumps(remembered))
    remove_orphans(tmp_path / "fallback")
    assert {name for name, area in areas.items() if area.exists()} == {"kept", "hidden"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server belongs to another user")
def test_binaries_that_the_servers_user_can_not_reach_are_copied_with_their_libraries(tmp_path: Path) -> None:
    found = binaries()
    package = found.parents[1]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, private / folder.name)
    ran = prompt_stats(
        tmp_path / "home",
        *("exec", sys.executable, "-c", "import os; print(os.environ['DATABASE_URL'])"),
        PYTHONPATH=f"{private}:{REPOSITORY}",
    )
    assert ran.stdout.startswith("postgresql://"), ran.stderr
