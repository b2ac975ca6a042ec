"""Values as people read them, in the terminal and on the page."""

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
    """The text on one line, in which nothing can be obeyed: not by a terminal, not by what reads lines.

    Line breaks, control and format characters (escape sequences, marks that reverse the order of letters) are
    written as escapes; all else is as it is. Twice is the same as once.
    """
    if text.isprintable():
        return text
    return "".join(escape(each) if _is_obeyed(each) else each for each in text)


def _is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in OBEYED and character not in JOINERS


def quoted_if_blank(text: str) -> str:
    """The text, visible, or in quotes where one could not see it."""
    return visible(text) if text.strip() else repr(text)


def shown(value: object) -> str:
    """A value of any kind: numbers, moments and what is missing as above, else as it is."""
    if value is None:
        return NONE
    if isinstance(value, dt.datetime):
        return moment(value)
    if isinstance(value, float):
        return f"{value:,.1f}"
    return count(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> str:
    """A table in Markdown, of cells that are Markdown; ``right``: the columns that are set at the right."""
    lines = [header, ["--:" if name in right else "---" for name in header], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown(text: str) -> str:
    """The text, visible, as Markdown that shows it as it is, in one cell of a table."""
    plain = "".join(f"\\{each}" if each in r"\`*_{}[]()#+-.!|~" else each for each in visible(text))
    return " ".join(plain.replace("&", "&amp;").replace("<", "&lt;").split())
