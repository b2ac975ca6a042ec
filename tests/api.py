"""The HTTP API, served for real."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from pipeline.api import build_app
from pipeline.database import Database
from pipeline.settings import Settings

START_SECONDS = 10.0
LOOK_SECONDS = 0.01


@contextmanager
def served(database: Database, **values: Any) -> Iterator[httpx.Client]:
    """A server on this database, with these variables for its settings, and a client for it."""
    app = build_app(Settings.model_validate(values), database)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(LOOK_SECONDS)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
