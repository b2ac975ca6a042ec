"""Commands are listed without being imported, and as they say themselves what they do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.cli.catalog import COMMANDS, load
from tests.command import REPOSITORY

LIGHT = {"typer", "annotated_doc", "shellingham", "rich", "markdown_it", "mdurl", "pygments", "attr"}
"""The libraries of the command line, and what those need, or take if it is there."""

LISTED = """
import sys
from importlib.metadata import packages_distributions
from pipeline.cli.main import app
app([sys.argv[1]], standalone_mode=False)
print(*sorted(packages_distributions().keys() & sys.modules.keys() - {"pipeline"}), file=sys.stderr)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_line_of_the_help_is_the_commands_own(name: str) -> None:
    _, line = COMMANDS[name]
    assert load(name).help.split("\n\n")[0] == line


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_that_a_command_needs(option: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTED, option], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    imported = set(done.stderr.split())
    assert {"typer", "rich"} <= imported
    assert imported <= LIGHT
