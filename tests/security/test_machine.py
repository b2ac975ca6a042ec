"""Another user of the machine, who may listen at ports and make files where everybody may: they gain nothing.

What they could do with the processes of ``prompt-stats ui`` is in ``test_dagster_guard.py``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.database.embedded.server import UNREACHABLE_FALLBACK, Server
from pipeline.errors import EmbeddedServerError, SettingsError
from pipeline.files import own_folder, private_folder, require_own_home
from pipeline.orchestration.instance import prepare_environment
from tests.command import environment, prompt_stats
from tests.hostile import hostile_directory, ran_in

SOMEBODY = 12_345
NOWHERE = "postgresql://app@127.0.0.1:1/app"
OF_BEFORE = "never-to-be-said"
ENCRYPTED = (80877103, 80877104)
"""The codes of a request for TLS, and for GSSAPI."""
CLEARTEXT = b"R" + (8).to_bytes(4) + (3).to_bytes(4)

START = """
import sys
from pathlib import Path
import psycopg
from pipeline.database.embedded import client
url = client.start(Path(sys.argv[1]))
psycopg.connect(url).close()
print(url)
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")


class FakeServer:
    """Asks whoever connects for the password in clear, and keeps what they answer."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.asked = 0
        self.heard = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            # Whoever refuses to answer may be gone at any moment.
            with connection, suppress(OSError):
                connection.settimeout(5)
                while int.from_bytes(connection.recv(1_024)[4:8]) in ENCRYPTED:
                    connection.sendall(b"N")
                self.asked += 1
                connection.sendall(CLEARTEXT)
                self.heard += connection.recv(1_024)


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.close()


def start(home: Path, directory: Path) -> str:
    """The address of the embedded server of a home, as a process gets it that was started in a directory."""
    command = [sys.executable, "-P", "-c", START, str(home)]
    started = subprocess.run(
        command, env=environment(home), cwd=directory, capture_output=True, text=True, check=False
    )
    assert started.returncode == 0, started.stderr
    return started.stdout.strip()


def test_a_false_server_at_the_port_of_the_embedded_one_is_not_told_the_password(
    fake_server: FakeServer, tmp_path: Path
) -> None:
    """And the server's supervisor runs no module of the directory that a command is started in."""
    root = tmp_path / "home" / "postgres"
    root.mkdir(parents=True, mode=0o700)
    (tmp_path / "home").chmod(0o700)
    (root / "port").write_text(str(fake_server.port))
    (root / "password").write_text(OF_BEFORE)
    (tmp_path / "shared").mkdir()
    directory = hostile_directory(tmp_path / "shared")

    url = start(tmp_path / "home", directory)

    assert fake_server.asked
    assert fake_server.heard == b""
    assert f":{fake_server.port}/" not in url
    assert ran_in(directory) == []


def test_the_tools_that_make_the_database_do_not_tell_it_either(
    fake_server: FakeServer, tmp_path: Path
) -> None:
    (tmp_path / "port").write_text(str(fake_server.port))
    (tmp_path / "password").write_text(OF_BEFORE)
    tmp_path.chmod(0o711)
    with pytest.raises(EmbeddedServerError, match="ended with 2"):
        Server(tmp_path).create_database()
    assert fake_server.asked
    assert fake_server.heard == b""


def test_a_program_that_exec_runs_is_given_an_address_that_every_driver_reads(tmp_path: Path) -> None:
    show = "import os; print(os.environ['DATABASE_URL'], os.environ['PGREQUIREAUTH'])"
    ran = prompt_stats(tmp_path / "home", "exec", sys.executable, "-c", show)
    url, required = ran.stdout.split()
    assert url.endswith("/prompt_stats")
    assert required == "scram-sha-256"


def owned(folder: Path, owner: int) -> Path:
    """Makes a home that belongs to a user, with all in it."""
    for each in (folder, folder / "postgres", folder / "dagster", folder / "lake"):
        each.mkdir(mode=0o700)
        (each / "something").touch()
        os.chown(each, owner, -1)
    return folder


@as_root
@pytest.mark.parametrize("database_url", ["", NOWHERE], ids=["embedded", "elsewhere"])
def test_a_home_that_somebody_else_made_is_refused(tmp_path: Path, database_url: str) -> None:
    home, victim = owned(tmp_path / "home", SOMEBODY), tmp_path / "victim"
    victim.mkdir(mode=0o755)
    before = victim.stat()
    (home / "postgres" / "area-location").write_text(str(victim))
    # Dagster would load the class that it names.
    (home / "dagster" / "dagster.yaml").write_text("storage: {sqlite: {base_dir: /nowhere}}")
    there = sorted(home.rglob("*"))

    for command in ("status", "migrate", "refresh", "doctor"):
        done = prompt_stats(home, command, DATABASE_URL=database_url)
        assert done.returncode == 1
        said = " ".join((done.stdout + done.stderr).split())
        assert f"belongs to another user, with the id {SOMEBODY}" in said
        assert "PROMPT_STATS_HOME" in said
        assert "Traceback" not in said
    with pytest.raises(SettingsError, match="belongs to another user"):
        prepare_environment(home / "dagster")

    assert sorted(home.rglob("*")) == there
    assert victim.stat() == before


@as_root
@pytest.mark.parametrize("part", ["postgres", "dagster", "lake"])
def test_a_folder_of_a_home_that_is_somebody_elses_is_refused(tmp_path: Path, part: str) -> None:
    home = owned(tmp_path / "home", 0)
    require_own_home(home)
    os.chown(home / part, SOMEBODY, -1)
    with pytest.raises(SettingsError, match=f"{part}: it belongs to another user"):
        require_own_home(home)


@as_root
def test_a_link_of_somebody_else_is_refused_and_what_it_leads_to_keeps_its_mode(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "home"
    victim.mkdir(mode=0o755)
    link.symlink_to(victim)
    require_own_home(link)
    os.chown(link, SOMEBODY, -1, follow_symlinks=False)
    for use in (require_own_home, own_folder):
        with pytest.raises(SettingsError, match="belongs to another user"):
            use(link)
    private_folder(link)
    assert victim.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_home_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "report.html").touch()
    home.chmod(mode)
    with pytest.raises(SettingsError, match=f"mode {mode:o}.*chmod -R go-w"):
        require_own_home(home)
    # What others may only read is the doctor's to say; the server's user may have to pass through.
    home.chmod(mode & ~0o022)
    require_own_home(home)


@pytest.mark.parametrize(
    "place", ["/", "{}/victim", f"{UNREACHABLE_FALLBACK}/..", f"{UNREACHABLE_FALLBACK}/a/b"]
)
def test_an_area_anywhere_else_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "area-location").write_text(place.format(tmp_path))
    with pytest.raises(EmbeddedServerError, match="which is not a folder in"):
        Server(tmp_path).initialise()
    assert not (tmp_path / "victim").exists()
