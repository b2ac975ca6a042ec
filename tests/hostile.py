"""A directory that another user has filled: modules with the names of those that our processes import."""

from __future__ import annotations

from pathlib import Path

NAMES = (
    "yaml",
    "grpc",
    "dagster",
    "psutil",
    "fasteners",
    "psycopg",
    "sqlalchemy",
    "pipeline",
    "typing_extensions",
)
CODE = """
import pathlib
pathlib.Path(__file__).with_suffix(".ran").touch()
raise SystemExit(1)
"""


def hostile_directory(folder: Path) -> Path:
    """Fills the folder, and returns it."""
    for name in NAMES:
        (folder / f"{name}.py").write_text(CODE)
    return folder


def ran_in(folder: Path) -> list[str]:
    """The modules of it that were run."""
    return sorted(path.stem for path in folder.glob("*.ran"))
