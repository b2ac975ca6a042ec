"""The SQL files, loaded once.

``query("lake/snapshot")`` is the text of ``sql/lake/snapshot.sql``. An unknown name fails
where it is first used at import time, so modules fetch their queries into constants.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped(name: str) -> Path:
    """A file or folder that stands beside the package in a checkout and inside it in a wheel."""
    inside = _PACKAGE / name
    return inside if inside.exists() else _PACKAGE.parent / name


@cache
def query(name: str) -> str:
    """The text of ``sql/<name>.sql``.

    :raises KeyError: there is no such file; the text lists those that exist.
    """
    folder = shipped("sql")
    file = folder / f"{name}.sql"
    if not file.is_file():
        known = sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.sql"))
        raise KeyError(f"no query {name!r}; known: {', '.join(known)}")
    return file.read_text(encoding="utf-8")
