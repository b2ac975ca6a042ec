"""Formats values for people, in the terminal and on pages."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence

NONE = "—"

OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that do something and are not seen: control, format, line breaks, surrogates."""

JOINERS = "\u200c\u200d"
"""The format characters that stay: emojis and some scripts are not written without them."""


def count(value: int | None) -> str:
    """A number as 12,345."""
    return NONE if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """Percent as 93.5 %."""
    return NONE if value is None else f"{value:.1f} %"


def seconds(value_ms: float | None) -> str:
    """Milliseconds as 5.12 s."""
    return NONE if value_ms is None else f"{value_ms / 1000:,.2f} s"


def moment(value: dt.datetime | None) -> str:
    """A moment as 2026-01-31 12:00 UTC."""
    return NONE if value is None else f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def escaped(character: str) -> str:
    r"""A character as Python escapes it: ``\x1b``."""
    return character.encode("unicode_escape").decode()


def visible(text: str, escape: Callable[[str], str] = escaped) -> str:
    """The text on one line, without anything that a terminal or a reader of lines would interpret.

    Line breaks, control and format characters (escape sequences, marks that reverse the order of letters) are
    written as escapes. Everything else stays as it is. Calling it twice is the same as calling it once.
    """
    if text.isprintable():
        return text
    return "".join(escape(each) if _is_obeyed(each) else each for each in text)


def _is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in OBEYED and character not in JOINERS


def quoted_if_blank(text: str) -> str:
    """The visible text, in quotes if it is empty or blank."""
    return visible(text) if text.strip() else repr(text)


def shown(value: object) -> str:
    """A value of any kind: numbers, moments and missing values in the formats above, others unchanged."""
    if value is None:
        return NONE
    if isinstance(value, dt.datetime):
        return moment(value)
    if isinstance(value, float):
        return f"{value:,.1f}"
    return count(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> str:
    """A Markdown table of cells in Markdown. ``right``: the columns that are aligned to the right."""
    lines = [header, ["--:" if name in right else "---" for name in header], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown(text: str) -> str:
    """The visible text as Markdown that shows it unchanged in a cell of a table."""
    plain = "".join(f"\\{each}" if each in r"\`*_{}[]()#+-.!|~" else each for each in visible(text))
    return " ".join(plain.replace("&", "&amp;").replace("<", "&lt;").split())
