"""The HTTP API, served for real: in a thread of this process, or by the command in one of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvicorn

from pipeline.database.connections import Database
from pipeline.settings import Settings
from pipeline.web.api import build_app
from pipeline.web.api.server import server_config
from pipeline.web.dashboard.routes import add_dashboard
from tests.command import environment

START_SECONDS = 10.0
LOOK_SECONDS = 0.01


@contextmanager
def served(database: Database, kept_seconds: float = 0.0, /, **values: Any) -> Iterator[httpx.Client]:
    """A server on this database, with these variables for its settings, and a client for it.

    ``kept_seconds``: as ``build_app`` has it. By default each answer shows what a test has just changed.
    """
    app = build_app(Settings.model_validate(values), database, kept_seconds)
    add_dashboard(app)
    server = uvicorn.Server(server_config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(LOOK_SECONDS)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Serve:
    """The command ``serve`` as it runs."""

    client: httpx.Client
    process: psutil.Process
    port: int


@contextmanager
def serve(home: Path, database: Database, *wrapper: str, **variables: str) -> Iterator[Serve]:
    """The command on this database, with these variables; ``wrapper`` is what starts it."""
    process = subprocess.Popen(
        [*wrapper, sys.executable, "-m", "pipeline", "serve", "--port", "0"],
        env=environment(home, DATABASE_URL=database.conninfo, **variables),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr
    with process, process.stderr:
        try:
            found = None
            while not found:
                line = process.stderr.readline()
                assert line, "the server did not start"
                found = re.search(r"running on http://127\.0\.0\.1:(\d+)", line)
            # What it says on is read, or a full pipe would hold it up.
            threading.Thread(target=process.stderr.read).start()
            port = int(found[1])
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
                yield Serve(client, psutil.Process(process.pid), port)
        finally:
            process.terminate()
            process.wait()
