"""Runs a command in the test's own process: for what a process of its own would hide, or makes too slow."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from pipeline.cli.main import app


def invoke(*arguments: str) -> Result:
    """How ``prompt-stats …`` ended. Settings are those of this process."""
    return CliRunner().invoke(app, arguments)
