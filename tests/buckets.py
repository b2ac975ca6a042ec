"""Buckets: moto's S3 in a process of its own, behind a layer that counts requests and lets some go wrong.

delta-rs waits for some answers with Python's lock in its hand, so a thread could not give them.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape, unescape

from tests.command import REPOSITORY

REGION = "us-east-1"
CONTROL = "/-/"
"""No bucket is named so: what follows is for the tests."""

ERROR, BUSY, LATE_ERROR = "500", "503", "500 of what was done"
CUT, DROPPED, SLOW = "cut", "dropped after it was done", "slow"
DENIED = "403"

SLOW_SECONDS = 0.3


@dataclass(frozen=True)
class Fault:
    """What happens to ``times`` requests of a ``method`` whose target contains the pattern ``target``, after
    ``spared`` others of them. A target is ``/bucket/key?query``.
    """

    does: str
    method: str
    target: str
    spared: int = 0
    times: int = 1


@dataclass(frozen=True)
class Request:
    """One that was answered. ``kind``: GET, HEAD, PUT, LIST or DELETE. ``bytes``: of both bodies."""

    kind: str
    target: str
    bytes: int


@dataclass(frozen=True)
class Buckets:
    """A server on which every bucket exists.

    One named ``no-put``, ``no-get`` or ``no-delete`` refuses that; ``no-condition`` puts whatever the
    condition.
    """

    url: str

    @property
    def variables(self) -> dict[str, str]:
        """Of an environment from which it is found."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def fail(self, *faults: Fault) -> None:
        """Has these happen from now on, and no others; each request meets the first that fits."""
        self._control("faults", json.dumps([asdict(fault) for fault in faults]).encode())

    def left(self) -> list[Fault]:
        """What did not happen so far."""
        return [Fault(**fault) for fault in json.loads(self._control("left"))]

    def requests(self) -> list[Request]:
        """Those since the last time."""
        return [Request(*each) for each in json.loads(self._control("requests"))]

    def objects(self) -> list[str]:
        """Every object, as ``bucket/key``."""
        found: list[str] = json.loads(self._control("objects"))
        return found

    def _control(self, name: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"{self.url}{CONTROL}{name}", body) as answer:  # noqa: S310  # our own
            content: bytes = answer.read()
            return content


@contextmanager
def buckets() -> Iterator[Buckets]:
    """A server for a block."""
    command = [sys.executable, "-m", "tests.buckets"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield Buckets(f"http://127.0.0.1:{server.stdout.readline().strip()}")
        finally:
            server.kill()


Environ = dict[str, Any]
Answer = tuple[str, list[tuple[str, str]], bytes]


class _Layer:
    """Before moto's application: WSGI."""

    def __init__(self, app: Callable[..., Iterable[bytes]], store: Any) -> None:
        self.app = app
        self.store = store
        self.faults: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, int]] = []
        self.lock = Lock()

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        # By moto's time between looking and putting, two of a condition could both be done.
        with self.lock:
            if path.startswith(CONTROL):
                status, headers, body = self.control(path.removeprefix(CONTROL), environ)
                does = None
            else:
                query = unquote(environ["QUERY_STRING"])
                target = f"{path}?{query}" if query else path
                does = self.fault(method, target)
                status, headers, body = self.answer(environ, method, path.split("/")[1], query, does)
                size = int(environ.get("CONTENT_LENGTH") or 0) + len(body)
                self.requests.append((_kind(method, target), target, size))
        if does == SLOW:
            time.sleep(SLOW_SECONDS)
        connection: socket.socket = environ["werkzeug.socket"]
        if does == DROPPED:
            connection.shutdown(socket.SHUT_RDWR)
        start_response(status, headers)
        if does == CUT:
            return _cut(body, connection)
        return [body]

    def control(self, name: str, environ: Environ) -> Answer:
        said: object = None
        if name == "faults":
            self.faults = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        elif name == "left":
            said = [fault for fault in self.faults if fault["times"]]
        elif name == "requests":
            said, self.requests = self.requests, []
        elif name == "objects":
            said = [f"{bucket.name}/{key}" for bucket in self.store.buckets.values() for key in bucket.keys]
        return _answer("200 OK", json.dumps(said).encode())

    def fault(self, method: str, target: str) -> str | None:
        for fault in self.faults:
            if fault["method"] == method and re.search(fault["target"], target):
                if fault["spared"]:
                    fault["spared"] -= 1
                elif fault["times"]:
                    fault["times"] -= 1
                    return str(fault["does"])
        return None

    def answer(self, environ: Environ, method: str, bucket: str, query: str, does: str | None) -> Answer:
        if does == ERROR:
            return _error("500 Internal Server Error", "InternalError")
        if does == BUSY:
            status, headers, body = _error("503 Slow Down", "SlowDown")
            return status, [*headers, ("Retry-After", "1")], body
        if does == DENIED or bucket == f"no-{method.lower()}":
            # As S3 says of a token that has expired.
            return _error("403 Forbidden", "AccessDenied", environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""))
        if bucket == "no-delete" and method == "POST" and query.startswith("delete"):
            return _refused_deletions(environ)
        if bucket == "no-condition":
            environ.pop("HTTP_IF_NONE_MATCH", None)
        if bucket not in self.store.buckets:
            self.store.create_bucket(bucket, REGION)
        found: list[Any] = []
        body = b"".join(self.app(environ, lambda status, headers, *_: found.extend((status, headers))))
        if does == LATE_ERROR:
            return _error("500 Internal Server Error", "InternalError")
        status, headers = found
        return status, headers, body


def _kind(method: str, target: str) -> str:
    if method == "GET" and "list-type=" in target:
        return "LIST"
    return "DELETE" if method == "POST" and "?delete" in target else method


def _answer(status: str, body: bytes) -> Answer:
    return status, [("Content-Length", str(len(body)))], body


def _error(status: str, code: str, token: str = "") -> Answer:
    said = f"<Error><Code>{code}</Code><Message>{code}</Message><Token-0>{token}</Token-0></Error>"
    return _answer(status, said.encode())


def _refused_deletions(environ: Environ) -> Answer:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
    said = "".join(
        f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code><Message/></Error>"
        for key in map(unescape, re.findall("<Key>(.*?)</Key>", body))
    )
    return _answer("200 OK", f"<DeleteResult>{said}</DeleteResult>".encode())


def _cut(body: bytes, connection: socket.socket) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    connection.shutdown(socket.SHUT_RDWR)


def _serve() -> None:
    import logging

    from moto.backends import get_backend
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    store = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"]
    served = make_server("127.0.0.1", 0, _Layer(create_backend_app("s3"), store), threaded=True)
    print(served.server_port, flush=True)
    served.serve_forever()


if __name__ == "__main__":
    _serve()
