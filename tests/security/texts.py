"""Texts that a stranger chooses, to be something else where they are shown."""

from __future__ import annotations

CLEAR_SCREEN = "\x1b[2J\x1b[38;5;201m"
SET_TITLE = "\x1b]0;title\x07"
C1 = "\x9b2J\x85"
REVERSED = "\u202egnp.exe\u202c\u2066"
FORGED = "real\r\nOK  forged\u2028forged\x0bforged\x0cforged\x08"
MARKUP = "[wip] [/x] [red]text[/red] :fire: [link=https://evil.example]click[/link]"

HOSTILE = f"{CLEAR_SCREEN}{SET_TITLE}{C1}{REVERSED}{FORGED}{MARKUP}"
"""All of it at once."""

LITERALLY = (
    r"\x1b[2J\x1b[38;5;201m",
    r"\x1b]0;title\x07",
    r"\x9b2J\x85",
    r"\u202egnp.exe\u202c\u2066",
    r"real\r\nOK  forged\u2028forged\x0bforged\x0cforged\x08",
    MARKUP,
)
"""How its parts are shown."""
