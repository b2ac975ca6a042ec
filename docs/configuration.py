"""Prints ``docs/configuration.md``: the environment variables, from ``pipeline/settings.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum

from pydantic.fields import FieldInfo

from pipeline.settings import Settings

BEGINNING = """\
# Configuration

Everything is set by environment variables, which a process reads once. An empty variable counts as unset.
`prompt-stats doctor` shows which are set, without secrets, and names one that is misspelt.

<!-- Made from pipeline/settings.py: python docs/configuration.py > docs/configuration.md -->

| variable | meaning | default |
|---|---|---|"""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield BEGINNING
    for field in Settings.model_fields.values():
        yield f"| `{field.validation_alias}` | {field.description} | {_default(field)} |"


def _default(field: FieldInfo) -> str:
    # Where there is none, the description says what that means.
    if field.default in (None, ()) or "Unset:" in (field.description or ""):
        return ""
    match field.default:
        case bool(is_on):
            return "`on`" if is_on else "`off`"
        case Enum(value=value):
            return f"`{value}`"
        case value:
            return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(page())
