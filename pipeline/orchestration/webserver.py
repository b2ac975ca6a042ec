"""Dagster's webserver behind the guard, and the services that ``prompt-stats ui`` starts beside it.

Dagster's own commands, ``dagster dev`` and ``dagster-webserver``, accept no middleware. So this module builds
its application as they do, and serves it with the same server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import uvicorn
import yaml
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pipeline.orchestration.guard import Guard

STATEMENT_TIMEOUT_MS = 15_000
POOL_RECYCLE_SECONDS = 3_600
POOL_OVERFLOW = 20
"""Of Dagster's storage, as ``dagster-webserver`` has them."""

OUR_CODE = Path(__file__).parents[2]
"""The folder that the package lies in."""

POLL_MS = 2_000
"""How often pages ask for what is new."""

CLOSE_SECONDS = 3
"""How long open pages may keep the server from ending."""

STOP_SECONDS = 60
"""How long a service may take to end before it is killed."""


@dataclass(frozen=True)
class Listener:
    """Where the UI is served. ``hosts``: the names it goes by. ``plain``: its log is text; else it is left to
    the handlers of this process.
    """

    address: str
    port: int
    hosts: Collection[str]
    plain: bool


class _Webserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """Dagster's, which executes what is posted and nothing else: a link must not launch a run."""

    async def graphql_http_endpoint(self, request: Request) -> Response:
        if request.method != "POST" and "text/html" not in request.headers.get("Accept", ""):
            return PlainTextResponse("POST the query as JSON.\n", 405, {"Allow": "POST"})
        answer: Response = await super().graphql_http_endpoint(request)
        return answer


def run_webserver(instance: dg.DagsterInstance, workspace: Path, listener: Listener) -> None:
    """Serves Dagster's UI until a signal ends it. ``workspace``: the file that says where the code is."""
    with _open_server(instance, workspace, listener) as server:
        server.run()


def run_services(instance: dg.DagsterInstance, listener: Listener) -> int:
    """Serves the UI, with a code server and the daemon beside it, until a signal ends it or the daemon dies.

    Returns the exit code: 0 if a signal ended it.
    """
    # Dagster starts its processes with -m, which would look for modules in the current directory first.
    os.environ["PYTHONSAFEPATH"] = "1"
    # A shell's script has what it starts with & ignore SIGINT; Dagster then ignores SIGTERM too.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    try:
        with (
            _code_server(instance) as served,
            _daemon(served, plain=listener.plain) as daemon,
            _open_server(instance, served, listener) as server,
        ):
            threading.Thread(target=_end_with, args=(daemon, server), daemon=True).start()
            server.run()
    except KeyboardInterrupt:
        return 0
    return 1


@contextmanager
def _open_server(
    instance: dg.DagsterInstance, workspace: Path, listener: Listener
) -> Iterator[uvicorn.Server]:
    instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_SECONDS, POOL_OVERFLOW)
    target = WorkspaceFileTarget([str(workspace)])
    with WorkspaceProcessContext(instance, target, version=__version__) as context:
        app = _Webserver(context, live_data_poll_rate=POLL_MS).create_asgi_app()
        yield uvicorn.Server(
            uvicorn.Config(
                Guard(app, listener.hosts),
                host=listener.address,
                port=listener.port,
                log_level="warning",
                log_config=uvicorn.config.LOGGING_CONFIG if listener.plain else None,
                timeout_graceful_shutdown=CLOSE_SECONDS,
            )
        )


@contextmanager
def _code_server(instance: dg.DagsterInstance) -> Iterator[Path]:
    """A code server at a socket of this user's; gives the file that says where it is."""
    # Dagster looks for modules in the working directory first, and takes the current one if it is told none.
    target = ModuleTarget(
        "pipeline.definitions", attribute=None, working_directory=str(OUR_CODE), location_name="pipeline"
    )
    with _private_temporary_folder() as folder, ProxyServerManager(instance, target, "WARNING") as manager:
        servers = [dict(each) for each in manager.get_code_server_specs()]
        file = Path(folder, "workspace.yaml")
        file.write_text(yaml.safe_dump({"load_from": servers}))
        yield file


@contextmanager
def _private_temporary_folder() -> Iterator[str]:
    """Has this process and those that it starts make their temporary files in a folder of this user's.

    Dagster names a socket there before it makes it, and whoever makes it first is taken for the code server.
    """
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = None
            os.environ.pop("TMPDIR")
            if before is not None:
                os.environ["TMPDIR"] = before


@contextmanager
def _daemon(workspace: Path, *, plain: bool) -> Iterator[subprocess.Popen[bytes]]:
    log_format = "colored" if plain else "json"
    options = ["-w", str(workspace), "--log-format", log_format]
    daemon = subprocess.Popen([sys.executable, "-P", "-m", "dagster._daemon", "run", *options])
    try:
        yield daemon
    finally:
        daemon.terminate()
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(STOP_SECONDS)
        daemon.kill()
        daemon.wait()


def _end_with(service: subprocess.Popen[bytes], server: uvicorn.Server) -> None:
    service.wait()
    server.should_exit = True
