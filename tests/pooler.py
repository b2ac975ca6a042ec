"""PgBouncer in front of a test's server, as Debian configures it but for the mode."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

START_SECONDS = 10.0


@contextmanager
def pooled(conninfo: str, mode: str) -> Iterator[str]:
    """The address of the same database through a pooler in that mode, for a block.

    Where there is no PgBouncer, a failure in CI and a skip elsewhere.
    """
    binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if binary is None:
        give_up: Callable[[str], Any] = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("There is no PgBouncer in the PATH: apt-get install pgbouncer")
        raise AssertionError
    given = conninfo_to_dict(conninfo)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pooler-") as folder:
        Path(folder).chmod(0o755)
        users = Path(folder, "users.txt")
        users.write_text(f'"{given["user"]}" "{given.get("password", "")}"\n', encoding="utf-8")
        configuration = Path(folder, "pgbouncer.ini")
        configuration.write_text(
            "[databases]\n"
            f"* = host={given['host']} port={given.get('port', 5432)}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = {mode}\n",
            encoding="utf-8",
        )
        # It refuses to run as root.
        user = ["-u", "nobody"] if os.getuid() == 0 and pwd.getpwnam("nobody") else []
        with subprocess.Popen(
            [binary, "-q", *user, str(configuration)], stderr=subprocess.DEVNULL
        ) as process:
            try:
                address = make_conninfo("", **{**given, "host": "127.0.0.1", "port": port})
                _wait(address, process)
                yield address
            finally:
                process.kill()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    said: object = "it ended"
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(address, client_encoding="UTF8").close()
        except psycopg.OperationalError as error:
            said = error
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"the pooler did not start: {said}")
