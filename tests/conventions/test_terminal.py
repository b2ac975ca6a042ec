"""Text reaches the terminal as itself: there is one way to it, and that one reads no markup."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli.terminal import Terminal
from tests.command import REPOSITORY

WAY = REPOSITORY / "pipeline" / "cli" / "terminal.py"
"""The one module that may make consoles and texts."""

MODULES = sorted(file for file in (REPOSITORY / "pipeline").rglob("*.py") if file != WAY)

HARMLESS = {
    "rich.bar": {"Bar"},
    "rich.box": None,
    "rich": {"box"},
    # A group renders what it holds as the console does, and the rest is for annotations.
    "rich.console": {"Group", "RenderableType"},
    # rich.progress.TextColumn and track() are not among them: they read markup.
    "rich.progress": {
        "BarColumn",
        "MofNCompleteColumn",
        "Progress",
        "SpinnerColumn",
        "TimeRemainingColumn",
    },
    # Its cells, titles and headers are made texts by the console.
    "rich.table": {"Table"},
}
"""What reads no markup, by module; None: all of it."""

PAST_THE_CONSOLE = {"status", "print_json", "input", "out"}
"""Methods of a console that read markup whatever it is told, or hand on what a terminal obeys."""

CONSOLES = {"console", "messages", "screen"}

OTHER_WAYS = {"print", "echo", "secho"}
"""Functions that write to the terminal, with no regard for what is in the text."""


STREAMS = {"sys.stdout.write", "sys.stderr.write"}


def name_of(function: ast.AST) -> str:
    """The last part of a dotted name."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def found(file: Path) -> Iterator[str]:
    """What could read text as markup, or shows it past the one way, with the line."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            yield from (f"{line}: {each.name}" for each in node.names if each.name.split(".")[0] == "rich")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rich":
            allowed = HARMLESS.get(node.module or "", set())
            if allowed is not None:
                yield from (f"{line}: {each.name}" for each in node.names if each.name not in allowed)
        elif isinstance(node, ast.Call):
            is_bare = isinstance(node.func, ast.Name)
            name = name_of(node.func)
            options = {each.arg for each in node.keywords}
            owner = "" if is_bare else name_of(getattr(node.func, "value", node.func))
            if (name in PAST_THE_CONSOLE and owner in CONSOLES) or (
                name in OTHER_WAYS and owner not in CONSOLES
            ):
                yield f"{line}: {name}()"
            if name == "print" and options & {"markup", "emoji"}:
                yield f"{line}: print() with markup"
            if (
                owner == "typer"
                and name in {"confirm", "prompt"}
                and not isinstance(node.args[0], ast.Constant)
            ):
                yield f"{line}: {name}() of text that is not the program's"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in {
            "sys.stdout.write",
            "sys.stderr.write",
        }:
            yield f"{line}: {ast.unparse(node)}"


def test_every_module_reaches_the_terminal_by_the_one_way() -> None:
    ways = {file.relative_to(REPOSITORY).as_posix(): list(found(file)) for file in MODULES}

    assert {file: each for file, each in ways.items() if each} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from rich.console import Console",
        "from rich import print",
        "import rich",
        "from rich.text import Text",
        "from rich.progress import TextColumn, Progress",
        "print(name)",
        "typer.echo(name)",
        "console.print(name, markup=True)",
        "console.status(name)",
        "console.print_json(name)",
        "sys.stderr.write(name)",
        "typer.confirm(f'Delete {name}?')",
    ],
)
def test_another_way_is_found(line: str, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(line)
    assert len(list(found(file))) == 1


def test_every_console_of_the_command_line_is_the_one_that_reads_no_markup() -> None:
    from pipeline.cli import context

    consoles = (context.console, context.messages)
    assert all(type(each) is Terminal for each in consoles)
    assert all(str(each.render_str("[b]x[/b] :fire:", markup=True)) == "[b]x[/b] :fire:" for each in consoles)
