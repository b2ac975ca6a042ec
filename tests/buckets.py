"""Buckets: as much of S3 as delta-rs asks for, in memory, in a process of its own.

delta-rs waits for some answers with Python's lock in its hand, so a thread could not give them.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from tests.command import REPOSITORY

OBJECTS: dict[str, bytes] = {}
"""By bucket and key."""


@contextmanager
def buckets() -> Iterator[dict[str, str]]:
    """A server on which every bucket exists; gives the variables by which it is found.

    One named ``no-put``, ``no-get`` or ``no-delete`` refuses that. ``GET /`` lists all objects.
    """
    command = [sys.executable, "-m", "tests.buckets"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.stdout.readline().strip()}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
            }
        finally:
            server.kill()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["If-None-Match"] == "*" and self.key in OBJECTS:
            self.answer(412)
        elif not self.is_refused():
            OBJECTS[self.key] = body
            self.answer(200, ETag=_etag(body))

    def do_GET(self) -> None:
        prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        if self.is_refused():
            return
        if not self.key:
            self.answer(200, "\n".join(OBJECTS).encode())
        elif "/" in self.key:
            body = OBJECTS.get(self.key)
            self.answer(404) if body is None else self.answer(200, body, ETag=_etag(body))
        else:
            self.answer(200, _listed(self.key, prefix))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        # Several objects at once, of which each may be refused.
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        said = ""
        for key in map(unescape, re.findall("<Key>(.*?)</Key>", body)):
            if self.key == "no-delete":
                said += f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code><Message/></Error>"
            else:
                OBJECTS.pop(f"{self.key}/{key}", None)
                said += f"<Deleted><Key>{escape(key)}</Key></Deleted>"
        self.answer(200, f"<DeleteResult>{said}</DeleteResult>".encode())

    @property
    def key(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def is_refused(self) -> bool:
        refused = self.key.startswith(f"no-{self.command.lower()}")
        if refused:
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        return refused

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Says nothing."""


def _listed(bucket: str, prefix: str) -> bytes:
    entries = "".join(
        f"<Contents><Key>{escape(key.removeprefix(f'{bucket}/'))}</Key><Size>{len(body)}</Size>"
        f"<ETag>{_etag(body)}</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key, body in sorted(OBJECTS.items())
        if key.startswith(f"{bucket}/{prefix}")
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


if __name__ == "__main__":
    served = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(served.server_port, flush=True)
    served.serve_forever()
