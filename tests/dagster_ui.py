"""``prompt-stats ui`` in processes of its own, as an operator starts it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.command import environment

START_SECONDS = 120
STOP_SECONDS = 60

AS_IN_A_SCRIPT = 'trap "" INT; exec "$@"'
"""What a script starts with & ignores SIGINT."""


def wait_until_up(address: str) -> None:
    """Returns once the UI answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"{address}/server_info", timeout=30).raise_for_status()
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        else:
            return


def processes_of(home: Path) -> list[str]:
    """The command lines of those that run with a home, whoever their parents are."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"PROMPT_STATS_HOME={home}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def wait_until_gone(home: Path) -> None:
    """Returns once no process of the home is left."""
    deadline = time.monotonic() + STOP_SECONDS
    while left := processes_of(home):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


@contextmanager
def dagster_ui(home: Path, directory: Path | None = None, **variables: str) -> Iterator[str]:
    """The address of ``prompt-stats ui``, which runs for the block in ``directory``, if it is given."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (home / "ui.log").open("wb") as log:
        ui = subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                AS_IN_A_SCRIPT,
                "sh",
                sys.executable,
                # As the installed program, which has no module from the current directory.
                "-P",
                "-m",
                "pipeline",
                "ui",
                "--port",
                str(port),
            ],
            env=environment(home, **variables),
            cwd=directory,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(address)
        yield address
    finally:
        # To the command alone, as whoever keeps services does: Dagster's processes have to end with it.
        ui.terminate()
        ui.wait(60)
    wait_until_gone(home)
