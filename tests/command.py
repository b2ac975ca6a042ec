"""Runs the command line as a user does: a process of its own, with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]


def environment(home: Path, **variables: str) -> dict[str, str]:
    """This environment with a home of its own, and nothing else that settings read."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROMPT_STATS_", "DATABASE_URL", "DAGSTER_"))
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
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env=environment(home, **variables),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def answer(home: Path, *arguments: str, **variables: str) -> Any:
    """The JSON that a command prints; the command has to succeed."""
    done = prompt_stats(home, *arguments, "--json", **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
