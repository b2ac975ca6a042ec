"""The one way to the terminal, on which text is shown as it is and never obeyed.

Names, scenes, error messages, file names and other sessions' application names are written by an app, its
users and strangers. rich by itself reads brackets in a ``str`` as markup and ``:fire:`` as an emoji, and
passes escape sequences on. Here a ``str`` is literal wherever it stands, and so is what :func:`literal` gives
a style: no caller has to remember which text is whose. Nothing else in the package makes a console or a
``Text`` (``tests/conventions/test_terminal.py``). https://rich.readthedocs.io/en/stable/console.html
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import IO, Any, Self

from rich.console import Console, ConsoleRenderable, Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.progress import ProgressColumn, Task
from rich.status import Status
from rich.table import Column
from rich.text import Text

from pipeline.formats import visible

Part = str | tuple[str, str]
"""Text, or text and its style."""


ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def literal(*parts: Part) -> ConsoleRenderable:
    """Texts one after the other, on one line, as they are."""
    return _literal(*parts)


def one_line(*parts: Part) -> ConsoleRenderable:
    """The same, cut where the line or a table's cell ends: a long text takes no number's place."""
    line = _literal(*parts)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _literal(*parts: Part) -> Text:
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((visible(text), style) for text, style in pairs))


class Terminal(Console):
    """A console that takes a ``str`` literally."""

    def __init__(self, file: IO[str] | None = None, **options: Any) -> None:
        """``options``: as rich has them, such as ``stderr``."""
        super().__init__(file=file, markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """What rich makes of a ``str``, in a table's cell or title too; asking for markup is no use."""
        line = _literal((text, ""))
        line.style = options.get("style", "")
        line.justify = options.get("justify")
        line.overflow = options.get("overflow")
        return line

    def print_plain_json(self, text: str) -> None:
        """Prints JSON, with what a terminal would obey escaped as JSON escapes it. No line is broken."""
        plain = "\n".join(visible(line, _escaped_in_json) for line in text.split("\n"))
        self.print(JSONHighlighter()(Text(plain)) if self.is_terminal else Text(plain), soft_wrap=True)


class Spinner(Status):
    """Says what goes on."""

    def __init__(self, what: str, console: Console) -> None:
        super().__init__(literal(what), console=console)

    def __enter__(self) -> Self:
        self.start()
        return self

    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        """Says something else."""
        super().update(literal(status) if isinstance(status, str) else status, **options)


class Said(ProgressColumn):
    """What a task is, and below it, dim, what its field ``said`` holds."""

    def get_table_column(self) -> Column:
        """As that of rich's own texts."""
        return Column(no_wrap=True)

    def render(self, task: Task) -> Group:
        """Two lines at most."""
        said = task.fields.get("said")
        return Group(literal(task.description), *([literal((said, "dim"))] if said else []))


class LogLines(logging.Formatter):
    """A record as a line, and its traceback indented below: no text in it can pass for another record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The message on one line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802
        """The traceback, indented."""
        return "\n".join(f"    {visible(line)}" for line in super().formatException(ei).split("\n"))


def _escaped_in_json(character: str) -> str:
    units = memoryview(character.encode("utf-16-le", "surrogatepass")).cast("H")
    return "".join(f"\\u{unit:04x}" for unit in units)
