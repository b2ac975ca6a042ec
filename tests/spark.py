"""A Spark Connect server for tests: Sail, which needs no Java. ``python -m tests.spark`` is its process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pysail.spark import SparkConnectServer

from tests.command import REPOSITORY, environment


@contextmanager
def sail() -> Iterator[str]:
    """A server for a block, in a process of its own: its address, as ``SPARK_REMOTE`` has it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.spark"],
        env=environment(Path("/dev/null"), RUST_LOG="error"),
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _serve() -> None:
    server = SparkConnectServer()
    server.start()
    assert server.listening_address
    print("sc://{}:{}".format(*server.listening_address), flush=True)
    # Its end is that of the tests, whatever becomes of them.
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
