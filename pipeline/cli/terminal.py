"""The only way to the terminal. It shows text as it is, and never interprets it.

Names, scenes, error messages, file names and other sessions' application names are written by an app, its
users and strangers. By default rich reads brackets in a ``str`` as markup and ``:fire:`` as an emoji, and
passes escape sequences on. Here every ``str`` is literal, and so is the text that :func:`literal` gives a
style. So no caller has to remember where a text comes from. Nothing else in the package creates a console or
a ``Text`` (``tests/conventions/test_terminal.py``). https://rich.readthedocs.io/en/stable/console.html
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
    """Joins texts without interpreting them."""
    return _literal(*parts)


def one_line(*parts: Part) -> ConsoleRenderable:
    """The same, cut where the line or a table's cell ends, so that a long text displaces no number."""
    line = _literal(*parts)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _literal(*parts: Part) -> Text:
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((visible(text), style) for text, style in pairs))


class Terminal(Console):
    """A console that takes a ``str`` literally."""

    def __init__(self, file: IO[str] | None = None, **options: Any) -> None:
        """``options`` are those of rich's ``Console``, such as ``stderr``."""
        super().__init__(file=file, markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Renders a ``str``, also in a cell or title of a table. Options that ask for markup are ignored."""
        line = _literal((text, ""))
        line.style = options.get("style", "")
        line.justify = options.get("justify")
        line.overflow = options.get("overflow")
        return line

    def print_plain_json(self, text: str) -> None:
        """Prints JSON, and escapes control characters as JSON does. No line is wrapped."""
        plain = "\n".join(visible(line, _escaped_in_json) for line in text.split("\n"))
        self.print(JSONHighlighter()(Text(plain)) if self.is_terminal else Text(plain), soft_wrap=True)


class Spinner(Status):
    """A spinner with a text beside it."""

    def __init__(self, what: str, console: Console) -> None:
        super().__init__(literal(what), console=console)

    def __enter__(self) -> Self:
        self.start()
        return self

    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        """Replaces the text."""
        super().update(literal(status) if isinstance(status, str) else status, **options)


class Said(ProgressColumn):
    """A task's description and, dimmed below it, the text of its field ``said``."""

    def get_table_column(self) -> Column:
        """The same column as that of rich's own texts."""
        return Column(no_wrap=True)

    def render(self, task: Task) -> Group:
        """Renders at most two lines."""
        said = task.fields.get("said")
        return Group(literal(task.description), *([literal((said, "dim"))] if said else []))


class LogLines(logging.Formatter):
    """Writes a record as one line, with its traceback indented below, so that no text can forge a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The message on one line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802
        """The traceback, indented."""
        return "\n".join(f"    {visible(line)}" for line in super().formatException(ei).split("\n"))


def _escaped_in_json(character: str) -> str:
    units = memoryview(character.encode("utf-16-le", "surrogatepass")).cast("H")
    return "".join(f"\\u{unit:04x}" for unit in units)
