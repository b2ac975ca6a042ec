"""Runs the command line as a user does: a process of its own, with an environment of its own.

Its libraries take seconds to import. So one process, ``python -m tests.command``, imports them and forks for
each command; the package's own command line is imported by each, after its environment is set.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]


def environment(home: Path, **variables: str) -> dict[str, str]:
    """This environment with a home of its own, and nothing else that settings read."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROMPT_STATS_", "DATABASE_URL", "DAGSTER_", "SPARK_"))
    }
    return {
        **inherited,
        "PROMPT_STATS_HOME": str(home),
        "PYTHONPATH": str(REPOSITORY),
        "COLUMNS": "120",
        **variables,
    }


def prompt_stats(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What ``prompt-stats …`` said and how it ended."""
    return run("pipeline", *arguments, **environment(home, **variables))


def answer(home: Path, *arguments: str, **variables: str) -> Any:
    """The JSON that a command prints; the command has to succeed."""
    done = prompt_stats(home, *arguments, "--json", **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What ``python -m MODULE …`` said and how it ended, with this environment and no other."""
    forks = _forks()
    assert forks.stdin
    assert forks.stdout
    with tempfile.NamedTemporaryFile("r+") as out, tempfile.NamedTemporaryFile("r+") as err:
        files = [os.devnull, out.name, err.name]
        print(json.dumps([[module, *arguments], environment, files]), file=forks.stdin, flush=True)
        status = int(forks.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, out.read(), err.read())


@cache
def _forks() -> subprocess.Popen[str]:
    """The process that forks, one a session."""
    forks = subprocess.Popen(
        [sys.executable, "-m", "tests.command"],
        # A pool of threads that stands before the fork would not after it.
        env={**environment(Path(os.devnull)), "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(forks.communicate)
    return forks


def _serve() -> None:
    """Answers each task with how its process ended."""
    import adbc_driver_postgresql.dbapi  # noqa: F401

    # What is shared is not looked at, nor taken apart at the end: either takes longer than most commands.
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            status = _become(*json.loads(line))
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(command: list[str], environment: dict[str, str], files: list[str]) -> int:
    """Does in this process what ``python -m`` would do in one of its own; returns the exit code."""
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR), number)
    os.chdir("/")
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve()
