"""A page of another site in the operator's browser, against ``prompt-stats ui``: it can do and see nothing.

The attacker knows everything but a way past the guard: the names of jobs and assets, the address of the
database. What is attempted is a launch of ``retain_events``, which removes raw events.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Page
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from pipeline.database.connections import Database
from pipeline.errors import InputError
from tests.browser import chromium
from tests.cli import invoke
from tests.command import prompt_stats
from tests.conftest import NewDatabase
from tests.dagster_ui import dagster_ui, processes_of
from tests.hostile import hostile_directory, ran_in

RUN_SECONDS = 120
SOCKET = re.compile(r"--socket (\S+)")
GRAPHQL_WS = Subprotocol("graphql-ws")

RUNS = '{runsOrError(filter: {pipelineName: "retain_events"}) {... on Runs {results {status}}}}'
MATERIALIZED = """{assetNodes(assetKeys: [{path: ["usage_events"]}]) {assetMaterializations {timestamp}}}"""

PATHS = (
    "/",
    "/graphql",
    "/server_info",
    "/dagit_info",
    "/robots.txt",
    "/logs/run/step.out",
    "/notebook?repoLocName=pipeline&path=x.ipynb",
    "/download_debug/run",
    "/report_asset_materialization/usage_events",
    "/report_asset_check/usage_events",
    "/report_asset_observation/usage_events",
    "/nothing/of/the/kind",
)
"""Of Dagster's webserver: each route of it, and what it answers with the UI's page."""

ATTACK = """
async ([ui, query]) => {
  const body = JSON.stringify({query});
  const asked = `${ui}/graphql?query=${encodeURIComponent(query)}`;
  const report = `${ui}/report_asset_materialization/usage_events`;
  const json = {'Content-Type': 'application/json'};
  const send = (url, options) => fetch(url, options).then(
    (answer) => answer.type === 'opaque' ? 'sent' : 'READ', () => 'failed');
  const blind = (url, body) => send(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body});
  const frame = (attributes) => new Promise((resolve) => {
    const element = Object.assign(document.createElement('iframe'), attributes, {onload: () => resolve()});
    document.body.append(element);
  });
  const form = async (name, encoding, url, field, value) => {
    const loaded = frame({name});
    const element = Object.assign(document.createElement('form'),
      {method: 'POST', enctype: encoding, action: url, target: name});
    const input = Object.assign(document.createElement('input'), {type: 'hidden', name: field, value});
    element.append(input);
    document.body.append(element);
    element.submit();
    await loaded;
  };
  const image = (src) => new Promise((resolve) => {
    Object.assign(new Image(), {src, onload: () => resolve('LOADED'), onerror: () => resolve('failed')});
  });
  const script = (src) => new Promise((resolve) => {
    const element = Object.assign(document.createElement('script'),
      {src, onload: () => resolve('LOADED'), onerror: () => resolve('failed')});
    document.body.append(element);
  });
  const socket = (protocols) => new Promise((resolve) => {
    const opened = new WebSocket(`${ui.replace('http', 'ws')}/graphql`, protocols);
    opened.onopen = () => resolve('OPENED');
    opened.onerror = () => resolve('failed');
  });
  const found = {
    plain: await blind(`${ui}/graphql`, new Blob([body], {type: 'text/plain; application/json'})),
    untyped: await blind(`${ui}/graphql`, new Blob([body])),
    parameters: await blind(asked, new URLSearchParams({a: 'b'})),
    report: await blind(report),
    get: await send(asked, {mode: 'no-cors', credentials: 'include'}),
    json: await send(`${ui}/graphql`, {method: 'POST', headers: json, body}),
    read: await send(`${ui}/server_info`),
    put: await send(report, {method: 'PUT', headers: json, body: '{}'}),
    beacon: String(navigator.sendBeacon(`${ui}/graphql`, new Blob([body], {type: 'text/plain'}))),
    image: await image(`${ui}/favicon.png`),
    script: await script(`${ui}/server_info`),
    socket: await socket('graphql-ws'),
    bare_socket: await socket([]),
  };
  // {"query": …, "a": "="} as text.
  await form('text', 'text/plain', `${ui}/graphql`, body.replace(/}$/, ',"a":"'), '"}');
  await form('multipart', 'multipart/form-data', asked, 'a', 'b');
  await form('urlencoded', 'application/x-www-form-urlencoded', asked, 'a', 'b');
  await frame({name: 'framed', src: ui});
  return found;
}
"""


class Page200(BaseHTTPRequestHandler):
    """An empty page at every path."""

    def do_GET(self) -> None:
        """Answers with it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page of somebody else</title>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Says nothing."""


@dataclass(frozen=True)
class Ui:
    """``prompt-stats ui``, the database that it works on, its home, and the directory it was started in."""

    address: str
    port: int
    database: Database
    home: Path
    directory: Path

    def ask(self, query: str, **headers: str) -> httpx.Response:
        """Posts a query as programs do."""
        return httpx.post(f"{self.address}/graphql", json={"query": query}, headers=headers, timeout=60)

    def runs(self) -> list[str]:
        """The states of the runs of ``retain_events``."""
        answer: dict[str, Any] = self.ask(RUNS).raise_for_status().json()
        return [run["status"] for run in answer["data"]["runsOrError"]["results"]]

    def state(self) -> tuple[list[str], Any, int]:
        """All that the attacks would change: runs, what is said of an asset, raw events."""
        materialized = self.ask(MATERIALIZED).raise_for_status().json()
        with psycopg.connect(self.database.conninfo) as connection:
            row = connection.execute("SELECT count(*) FROM prompt_usage").fetchone()
        assert row
        return self.runs(), materialized, row[0]

    def launch(self) -> str:
        """The mutation that launches ``retain_events``, confirmed as well as can be."""
        config = {"days": 5, "database": self.database.address()}
        data = json.dumps(json.dumps({"ops": {"retain": {"config": config}}}))
        where = (
            'repositoryLocationName: "pipeline", repositoryName: "__repository__", jobName: "retain_events"'
        )
        return (
            f"mutation {{launchRun(executionParams: {{selector: {{{where}}}, runConfigData: {data}}})"
            " {__typename ... on PythonError {message}}}"
        )


@pytest.fixture(scope="module")
def ui(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ui]:
    """One for the file: it takes half a minute to start."""
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute(
                "INSERT INTO prompt_usage (prompt_id, created_at)"
                " SELECT gen_random_uuid(), now() - 40 * interval '1 day' FROM generate_series(1, 10)"
            )
        home, directory = tmp_path_factory.mktemp("ui"), hostile_directory(tmp_path_factory.mktemp("shared"))
        # Else the schedule finds something to do, whenever five minutes are over.
        assert prompt_stats(home, "refresh", DATABASE_URL=database.conninfo).returncode == 0
        with dagster_ui(home, directory, DATABASE_URL=database.conninfo) as address:
            yield Ui(address, int(address.rpartition(":")[2]), database, home, directory)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def other_port() -> Iterator[int]:
    """The port of a web server that is somebody else's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page200) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def raw(port: int, request: str) -> tuple[int, str]:
    """The status and the text of the answer to a request that is sent as it is."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(partial(connection.recv, 65_536), b""))
    return int(answer.split(b" ", 2)[1]), answer.decode()


def test_no_service_runs_modules_of_the_current_directory(ui: Ui) -> None:
    commands = " ".join(processes_of(ui.home))
    assert "code-server start" in commands
    assert "dagster._daemon" in commands
    assert ran_in(ui.directory) == []


def test_the_code_servers_sockets_are_in_a_private_folder(ui: Ui) -> None:
    sockets = {each for command in processes_of(ui.home) for each in SOCKET.findall(command)}
    assert sockets
    folders = {Path(each).parent for each in sockets}
    assert {(oct(each.stat().st_mode & 0o777), each.stat().st_uid) for each in folders} == {
        (oct(0o700), os.geteuid())
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_site_does_nothing(ui: Ui, browser: Browser, other_port: int, host: str) -> None:
    """From another port of the same name, which browsers call the same site, and from another name."""
    before = ui.state()
    with browser.new_page() as page:
        answers: list[tuple[str, str, int]] = []
        page.on(
            "response",
            lambda answer: answers.append((answer.request.method, answer.request.url, answer.status)),
        )
        page.goto(f"http://{host}:{other_port}/")
        found = page.evaluate(ATTACK, [ui.address, ui.launch()])
        framed = []
        for frame in page.frames[1:]:
            # What was sent there by a form may still be under way.
            frame.wait_for_load_state()
            framed.append(frame.evaluate("document.documentElement?.innerText"))

    refused = {(method, status) for method, url, status in answers if url.startswith(ui.address)}
    assert refused == {("GET", 403), ("POST", 403)}
    assert {name for name, outcome in found.items() if outcome not in ("failed", "sent", "true")} == set()
    assert {found[name] for name in ("json", "read", "put", "image", "script", "socket", "bare_socket")} == {
        "failed"
    }
    # Either what the guard said, or the browser's own page of an address that does not let itself be framed.
    assert not [text for text in framed if text and "Dagster" in text]
    assert ui.state() == before


def test_a_link_from_another_site_opens_the_ui_and_launches_nothing(
    ui: Ui, browser: Browser, other_port: int
) -> None:
    before = ui.state()
    with browser.new_page() as page:
        page.goto(f"http://localhost:{other_port}/")
        with page.expect_navigation():
            page.evaluate("url => {location = url}", f"{ui.address}/graphql?query={ui.launch()}")
        assert page.title() == "GraphiQL"
        with page.expect_navigation():
            page.goto(f"http://localhost:{other_port}/")
            page.evaluate("url => {location = url}", f"{ui.address}/runs")
        page.get_by_text("Runs").first.wait_for()
    assert ui.state() == before


def test_the_own_page_asks_and_subscribes(ui: Ui, browser: Browser) -> None:
    with browser.new_page() as page:
        answer = page.goto(f"{ui.address}/overview")
        assert answer
        headers = answer.headers_array()
        version, opened = own_requests(page)

    policies = [each["value"] for each in headers if each["name"].lower() == "content-security-policy"]
    assert any("frame-ancestors 'none'" in policy for policy in policies)
    assert any("script-src" in policy for policy in policies)
    assert {"name": "x-frame-options", "value": "DENY"} in [
        {"name": each["name"].lower(), "value": each["value"]} for each in headers
    ]
    assert version["data"]["version"]
    assert opened == {"type": "connection_ack"}


def own_requests(page: Page) -> tuple[Any, Any]:
    """What a page of the UI gets by a query, and by a WebSocket."""
    version = page.evaluate(
        """async () => (await fetch('/graphql', {method: 'POST',
          headers: {'Content-Type': 'application/json'}, body: '{"query": "{version}"}'})).json()"""
    )
    opened = page.evaluate(
        """() => new Promise((resolve) => {
          const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/graphql`, 'graphql-ws');
          socket.onopen = () => socket.send('{"type": "connection_init"}');
          socket.onmessage = (message) => resolve(JSON.parse(message.data));
          socket.onerror = () => resolve('failed');
        })"""
    )
    return version, opened


@pytest.mark.parametrize("path", PATHS)
def test_a_name_that_was_pointed_here_is_answered_at_no_path(ui: Ui, path: str) -> None:
    """DNS rebinding: to the browser such a page is of the same origin, and may send JSON and read answers."""
    before = ui.state()
    name = f"attacker.example:{ui.port}"
    body = json.dumps({"query": ui.launch()})
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        headers = {"Host": name, "Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"}
        answer = httpx.request(
            method,
            f"{ui.address}{path}",
            headers={**headers, "Content-Type": "application/json"},
            content=body,
        )
        assert answer.status_code == 421, method
        assert "Dagster" not in answer.text
    assert ui.state() == before


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), 400),
        (("Host:",), 400),
        (("Host: ",), 400),
        (("Host: localhost:port",), 400),
        (("Host: user@localhost",), 400),
        (("Host: localhost/",), 400),
        (("Host: attacker.example, localhost",), 400),
        (("Host: localhost", "Host: attacker.example"), 400),
        (("Host: localhost.attacker.example",), 421),
        (("Host: attacker.example", "X-Forwarded-Host: localhost"), 421),
    ],
    ids=str,
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_names_the_host_that_it_asks(
    ui: Ui, lines: tuple[str, ...], expected: int, version: str
) -> None:
    for kind in ("", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AA==\r\n"):
        head = "".join(f"{line}\r\n" for line in lines)
        ending = "Connection: Upgrade" if kind else "Connection: close"
        status, text = raw(ui.port, f"GET /server_info HTTP/{version}\r\n{head}{kind}{ending}\r\n\r\n")
        assert status == expected or (kind and status in (400, 403)), text
        assert "dagster" not in text


def test_an_address_in_the_request_line_does_not_count(ui: Ui) -> None:
    line = f"GET http://localhost:{ui.port}/server_info HTTP/1.1"
    status, _ = raw(ui.port, f"{line}\r\nHost: attacker.example\r\nConnection: close\r\n\r\n")
    assert status == 421


@pytest.mark.parametrize("origin", ["http://attacker.example", "null", "http://127.0.0.1:1"])
def test_a_websocket_of_another_origin_is_not_opened(ui: Ui, origin: str) -> None:
    address = f"ws://127.0.0.1:{ui.port}/graphql"
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(address, origin=Origin(origin), subprotocols=[GRAPHQL_WS]),
    ):
        pass
    with connect(address, subprotocols=[GRAPHQL_WS], open_timeout=60) as opened:
        opened.send('{"type": "connection_init"}')
        assert json.loads(opened.recv(60)) == {"type": "connection_ack"}


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html"])
def test_a_query_in_the_address_is_not_executed(ui: Ui, accept: str) -> None:
    """Not even one of a program that the guard lets pass."""
    before = ui.state()
    for method in ("GET", "HEAD"):
        answer = httpx.request(
            method, f"{ui.address}/graphql", params={"query": ui.launch()}, headers={"Accept": accept}
        )
        assert answer.status_code == 405 or "GraphiQL" in answer.text
        assert "launchRun" not in answer.text
    assert ui.state() == before


def test_programs_ask_and_what_they_launch_unconfirmed_removes_nothing(ui: Ui) -> None:
    """The attack's mutation is a valid one: without the guard there is a run, and the run's own check."""
    *_, rows = ui.state()
    answer = ui.ask(ui.launch()).raise_for_status().json()
    assert answer["data"]["launchRun"] == {"__typename": "LaunchRunSuccess"}
    deadline = time.monotonic() + RUN_SECONDS
    while (state := ui.runs()[0]) not in ("FAILURE", "SUCCESS"):
        assert time.monotonic() < deadline, state
        time.sleep(0.5)
    assert state == "FAILURE"
    *_, left = ui.state()
    assert left == rows


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])  # noqa: S104
def test_nobody_else_is_let_in_by_an_option_alone(host: str) -> None:
    refused = invoke("ui", "--host", host)
    assert isinstance(refused.exception, InputError)
    assert "PROMPT_STATS_UI_HOSTS" in str(refused.exception)
