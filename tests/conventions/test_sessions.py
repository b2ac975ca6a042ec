"""Connections are opened in one place, so that each session is what ``pipeline.database.sessions`` says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import REPOSITORY

FILES = sorted(
    file
    for folder in ("pipeline", "migrations")
    for file in (REPOSITORY / folder).rglob("*.py")
    if file.stat().st_size
)

OPENERS = {
    "psycopg": {"pipeline/database/sessions.py"},
    "Connection": {"pipeline/database/sessions.py"},
    "AsyncConnection": set(),
    "ImpatientConnection": set(),
    "connection_class": {"pipeline/database/sessions.py"},
}
"""Whose ``connect`` opens a connection, and where that may be called."""


def path_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def opened_in(tree: ast.AST, path: str) -> Iterator[str]:
    """Each way to open a connection that does not lead through ``pipeline.database.sessions``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            modules = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [name.name for name in node.names]
            )
            if any(module.startswith("adbc_driver_postgresql") for module in modules) and path != DATABASE:
                yield "adbc_driver_postgresql"
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            owner = function.value.id
            if function.attr == "connect" and owner in OPENERS and path not in OPENERS[owner]:
                yield f"{owner}.connect"
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in ("create_engine", "create_async_engine") and path != DATABASE:
            yield name
        if name in ("ConnectionPool", "AsyncConnectionPool"):
            configure = [ast.unparse(each.value) for each in node.keywords if each.arg == "configure"]
            if not configure or "sessions." not in configure[0]:
                yield f"{name} without configure"


DATABASE = "pipeline/database/connections.py"


def test_no_session_is_opened_but_by_the_one_module() -> None:
    trees = {path_of(file): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}

    assert [(path, way) for path, tree in trees.items() for way in opened_in(tree, path)] == []


@pytest.mark.parametrize(
    "code",
    [
        "psycopg.connect('')",
        "ImpatientConnection.connect('')",
        "create_engine('')",
        "ConnectionPool('')",
        "AsyncConnectionPool('', configure=other)",
        "import adbc_driver_postgresql.dbapi",
        "from adbc_driver_postgresql.dbapi import connect",
    ],
)
def test_another_way_is_seen(code: str) -> None:
    assert list(opened_in(ast.parse(code), "pipeline/another.py"))
