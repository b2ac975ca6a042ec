"""Runs a command in the test's own process: for what a process of its own would hide, or makes too slow."""

from __future__ import annotations

import gc
import warnings

from typer.testing import CliRunner, Result

from pipeline.cli.main import app


def invoke(*arguments: str) -> Result:
    """How ``prompt-stats …`` ended. Settings are those of this process."""
    with warnings.catch_warnings():
        # A command leaves it to the end of its process to close what it opened. What is collected later,
        # in some other test, would fail that one.
        warnings.simplefilter("ignore", ResourceWarning)
        ended = CliRunner().invoke(app, arguments)
        gc.collect()
    return ended
