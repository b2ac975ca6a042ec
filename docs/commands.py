"""Prints ``docs/commands.md``: the commands with their options, from the command line itself."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pipeline.cli.catalog import COMMANDS, load

BEGINNING = """\
# Commands

`prompt-stats COMMAND --help` says the same. The exit code is 0 if the command did what was asked, and 1
if it could not. It is 2 if the command line can't be read, or if a command asks for confirmation and there
is no terminal to answer on: pass `--yes`. Errors are text on standard error. `--json` prints JSON.

<!-- Made from the command line: python docs/commands.py > docs/commands.md -->"""

MORE = {
    "migrate": "[Beside a running app](adoption.md)",
    "refresh": "[The first load](adoption.md#the-first-load)",
    "accept-settings": "[A setting is refused](operations.md#a-setting-is-refused)",
    "claim-lake": "[Whose the lake is](architecture.md#whose-the-lake-is)",
    "retain": "[Retention](architecture.md#retention)",
    "erase-user": "[Erasure](architecture.md#erasure)",
    "check": "[Checks](checks.md)",
    "doctor": "[Roles](roles.md)",
    "drift": "[Compare mode](adoption.md)",
    "alerts": "[Alerts](alerts.md)",
    "export": "[Whole tables](api.md#whole-tables)",
    "report": "[The dashboard as a file](dashboard.md#as-a-file)",
    "serve": "[The HTTP API](api.md)",
    "ui": "[Deployment](deployment.md)",
}
"""Where there is more to read of a command."""

KINDS = {int: "N", float: "N", str: "TEXT", Path: "FILE", dt.datetime: "DAY", dt.date: "DAY"}
"""What an option's value is called, by its type."""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield BEGINNING
    for name, (_, line) in COMMANDS.items():
        command = load(name)
        yield f"\n## {name}\n\n{line}"
        if name in MORE:
            yield f"More: {MORE[name]}."
        parts = getattr(command, "commands", None) or {}
        if parts:
            for part, each in parts.items():
                yield from _usage(f"{name} {part}", each, each.help or "")
        else:
            yield from _usage(name, command)


def _usage(name: str, command: Any, line: str = "") -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [
        each
        for each in command.params
        if each.param_type_name == "option" and not each.hidden and each.name != "help"
    ]
    words = " ".join(["prompt-stats", name, *(_argument(each) for each in arguments)])
    if line:
        yield "\n" + " ".join(line.split("\n\n")[0].split())
    yield f"\n```sh\n{words}{' [OPTIONS]' if options else ''}\n```"
    rows = [(_argument(each), each) for each in arguments if each.help]
    rows += [(_spelt(each), each) for each in options]
    if rows:
        yield "\n| | meaning | default |\n|---|---|---|"
        for spelt, each in rows:
            yield f"| `{spelt.replace('|', chr(92) + '|')}` | {_meaning(each)} | {_default(each)} |"


def _argument(argument: Any) -> str:
    several = " …" if argument.nargs == -1 else ""
    name = str(argument.metavar or argument.name).upper()
    return f"{name}{several}" if argument.required else f"[{name}]{several}"


def _spelt(option: Any) -> str:
    names = " / ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag else f"{names} {option.metavar or _kind(option)}"


def _kind(option: Any) -> str:
    kind = option.type_descriptor.annotation
    return "|".join(map(str, kind)) if issubclass(kind, Enum) else KINDS[kind]


def _meaning(parameter: Any) -> str:
    return " ".join((parameter.help or "").split()).replace("|", "\\|")


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or callable(value) or parameter.is_flag or parameter.required:
        return ""
    return f"`{getattr(value, 'value', value)}`"


if __name__ == "__main__":
    sys.stdout.write(page())
