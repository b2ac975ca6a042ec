"""What modules say of themselves is there, and true."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pipeline
from pipeline import errors
from tests.command import REPOSITORY

PACKAGE = REPOSITORY / "pipeline"
PACKAGES = sorted(file.parent for file in PACKAGE.rglob("*/__init__.py"))
MODULES = sorted(
    file
    for folder in ("pipeline", "migrations", "tests")
    for file in (REPOSITORY / folder).rglob("*.py")
    if file.stat().st_size
)


def path_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def names(folder: Path) -> set[str]:
    """The modules and folders in a folder, those that only Python looks for left out.

    A folder that was moved away leaves compiled modules behind.
    """
    return {
        path.stem
        for path in folder.glob("[!_]*")
        if path.suffix == ".py"
        or (path.is_dir() and {each.name for each in path.iterdir()} - {"__pycache__"})
    }


def docstring(file: Path) -> str:
    """What a module says of itself."""
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def test_every_module_begins_with_a_docstring() -> None:
    assert [path_of(file) for file in MODULES if not docstring(file)] == []


def test_the_map_of_the_package_names_every_part() -> None:
    assert pipeline.__doc__
    assert set(re.findall(r"``(\w+)``", pipeline.__doc__)) >= names(PACKAGE)


def test_every_list_of_modules_is_whole() -> None:
    listed = {
        folder: set(re.findall(r"^``(\w+)``$", docstring(folder / "__init__.py"), re.MULTILINE))
        for folder in PACKAGES
    }

    wrong = {path_of(folder): each ^ names(folder) for folder, each in listed.items() if each}
    assert {folder: modules for folder, modules in wrong.items() if modules} == {}


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    assert errors.__doc__
    base, *drawn = re.findall(r"^([\s│├└─]*)(\w+Error)\b", errors.__doc__, re.MULTILINE)
    branch = [(len(base[0]), base[1])]
    parents = {}
    for indent, name in drawn:
        while branch[-1][0] >= len(indent):
            branch.pop()
        parents[name] = branch[-1][1]
        branch.append((len(indent), name))

    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert base[1] == errors.PromptStatsError.__name__
    assert parents == {
        kind.__name__: kind.__bases__[0].__name__ for kind in classes if kind is not errors.PromptStatsError
    }


def test_documents_that_a_module_names_exist() -> None:
    named = {
        (path_of(file), page)
        for file in MODULES
        for page in re.findall(r"\bdocs/[\w/.-]+\.md\b", file.read_text(encoding="utf-8"))
    }

    assert {(file, page) for file, page in named if not (REPOSITORY / page).is_file()} == set()
