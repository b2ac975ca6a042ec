"""What a process calls to use the embedded server."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import fasteners
import psycopg

from pipeline.database.embedded.server import START_SECONDS, Server, unprivileged_user
from pipeline.database.sessions import connect_plainly
from pipeline.errors import EmbeddedServerError
from pipeline.files import PRIVATE_FOLDER, own_folder, private_file

CLIENTS, LOG = "clients.lock", "supervisor.log"

CALL_SECONDS = 2
"""How often a waiting client makes sure that there is a supervisor."""

_held: dict[Path, fasteners.InterProcessReaderWriterLock] = {}
_guard = threading.Lock()


def start(home: Path) -> str:
    """Starts the embedded server of ``home`` if needed, and returns its URL when it accepts connections.

    The server stays up as long as this process lives. You can call it any number of times.

    :raises EmbeddedServerError: the home can't be written, or the server does not start.
    :raises SettingsError: another user can change what is in the home.
    """
    root = home / "postgres"
    with _guard:
        if root not in _held:
            _held[root] = _client_lock(home, root)
    return _wait_until_ready(root)


def _client_lock(home: Path, root: Path) -> fasteners.InterProcessReaderWriterLock:
    try:
        own_folder(home)
        own_folder(root)
        # The server's user must pass through here; the secrets below are files of their own.
        root.chmod(0o711 if unprivileged_user() else PRIVATE_FOLDER)
        for name in (CLIENTS, LOG):
            private_file(root / name)
        lock = fasteners.InterProcessReaderWriterLock(root / CLIENTS)
        lock.acquire_read_lock()
        # A program that takes this process's place goes on holding it.
        os.set_inheritable(lock.lockfile.fileno(), True)  # noqa: FBT003  # it takes no name
        atexit.register(lock.release_read_lock)
    except OSError as error:
        raise EmbeddedServerError(
            f"Using the home {home}",
            f"it can't be written ({error.strerror})",
            "Set PROMPT_STATS_HOME to a folder that you may write, or DATABASE_URL to a running server",
        ) from error
    return lock


def _wait_until_ready(root: Path) -> str:
    server = Server(root)
    (root / "error").unlink(missing_ok=True)
    deadline, next_call = time.monotonic() + START_SECONDS, 0.0
    while time.monotonic() < deadline:
        if (root / "password").exists() and (root / "port").exists():
            url = server.conninfo()
            try:
                connect_plainly(url, connect_timeout=5).close()
            except psycopg.OperationalError:
                pass  # not yet, or not any more: the supervisor sees to it
            else:
                return url
        if time.monotonic() >= next_call:
            _call_supervisor(root)
            next_call = time.monotonic() + CALL_SECONDS
        time.sleep(0.05)
        if (root / "error").exists():
            break
    said = (root / "error").read_text() if (root / "error").exists() else "no answer in time"
    raise EmbeddedServerError(
        "Starting the embedded server",
        said.rstrip("."),
        f"Look at {server.log_file}, or set DATABASE_URL to another server",
    )


def _call_supervisor(root: Path) -> None:
    """Starts a supervisor. If there is one already, the new one ends at once."""
    with (root / LOG).open("ab") as log:
        # A session of its own: Ctrl-C in the terminal is for the client, not for the database.
        subprocess.run(
            [sys.executable, "-m", "pipeline.database.embedded.supervisor", str(root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=Path(__file__).parents[3],
            check=True,
        )
