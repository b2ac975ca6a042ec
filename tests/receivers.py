"""Servers that take alerts: a webhook and a mail server, real ones, which can be told to fail."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0PSECRET"  # noqa: S105  # a test's


@dataclass
class Webhook:
    """What was posted, and what it answers."""

    url: str = ""
    status: int = 200
    posted: list[dict[str, Any]] = field(default_factory=list)
    """Of the requests that were answered with 2xx, the JSON."""
    ids: list[str] = field(default_factory=list)
    """Of all requests, the idempotency key."""


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A webhook with a secret in its path."""
    found = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.ids.append(self.headers["Idempotency-Key"])
            if found.status < 300 and self.path == f"/{SECRET}":
                found.posted.append(body)
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Says nothing."""

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        found.url = f"http://127.0.0.1:{port}/{SECRET}"
        yield found


@dataclass
class MailServer:
    """The letters that came."""

    url: str = ""
    refuses: bool = False
    letters: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """As much of SMTP (RFC 5321) as a letter takes."""
    found = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 ready")
            while line := self.rfile.readline().strip().upper():
                if line == b"DATA":
                    self.say("354 go on")
                    self.take()
                elif line == b"QUIT":
                    self.say("221 bye")
                    return
                elif found.refuses and line.startswith(b"RCPT"):
                    self.say("550 no such mailbox")
                else:
                    self.say("250 ok")

        def take(self) -> None:
            lines = list(iter(self.rfile.readline, b".\r\n"))
            letter = message_from_bytes(b"".join(lines), policy=policy.default)
            found.letters.append(letter)
            self.say("250 taken")

        def say(self, words: str) -> None:
            self.wfile.write(f"{words}\r\n".encode())

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        found.url = f"smtp://127.0.0.1:{port}"
        yield found


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
