"""The files of ``sql/``: each says what it is for, is one statement or only grants, and is used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.command import REPOSITORY

SQL = REPOSITORY / "sql"
FILES = sorted(SQL.rglob("*.sql"))
PAGES = {folder: REPOSITORY / "docs" / f"{folder}.md" for folder in ("analysis", "operations", "roles")}
"""Folders whose files people run, and where they read of them."""
VARIADIC = (
    "concat",
    "concat_ws",
    "format",
    "jsonb_build_array",
    "jsonb_build_object",
    "num_nonnulls",
    "num_nulls",
)
"""Functions of Postgres with any number of arguments: one in another schema whose arguments fit exactly would
be called instead."""
PROGRAM = [file for file in FILES if file.parent.name not in PAGES]
ROLES = [file for file in FILES if file.parent.name == "roles"]
BEGINNING_OF_ROLES = """\
\\set ON_ERROR_STOP on
\\if :{?schema}
\\else
\\set schema public
\\endif
\\if :{?views}
\\else
\\set views prompt_stats
\\endif
SELECT EXISTS (
    SELECT FROM information_schema.view_table_usage
    WHERE view_schema = :'views' AND view_name = 'prompt_usage' AND table_schema = :'schema'
) AS has_views \\gset
SET search_path TO :"schema";
\\if :has_views
GRANT USAGE ON SCHEMA :"views" TO :"role";
SET search_path TO :"views", :"schema";
\\endif
"""
HEADER = re.compile(r"-- Purpose: \S.*\.\n-- Grain:   \S.*\.\n-- Time:    \S.*\.\n(-- \S.*\n)*(?!--|\s)")


def name_of(file: Path) -> str:
    """The name by which ``pipeline.queries.query`` knows a file."""
    return file.relative_to(SQL).with_suffix("").as_posix()


@pytest.fixture(scope="module")
def texts() -> set[str]:
    """Every literal text of the package."""
    return {
        node.value
        for file in (REPOSITORY / "pipeline").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_there_are_files() -> None:
    assert {file.parent.name for file in FILES} == {"api", "engine", "postgres", *PAGES}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_header_says_purpose_grain_and_time(file: Path) -> None:
    assert HEADER.match(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", sorted(set(FILES) - set(ROLES)), ids=name_of)
def test_a_file_is_one_statement(file: Path) -> None:
    text = re.sub(r"--.*|'(''|[^'])*'", "", file.read_text(encoding="utf-8"))

    assert ";" not in text
    assert re.match(
        r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|TRUNCATE|LOCK|ANALYZE|COMMENT|COPY)\b", text
    )


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name != "engine"], ids=name_of)
def test_no_function_of_somebody_elses_is_called_instead(file: Path) -> None:
    text = re.sub(r"--.*|'(''|[^'])*'", "", file.read_text(encoding="utf-8"))

    assert re.findall(rf"(?<![\w.])(?:{'|'.join(VARIADIC)})\(", text) == []


@pytest.mark.parametrize("file", ROLES, ids=name_of)
def test_a_roles_file_only_grants_and_only_to_the_role(file: Path) -> None:
    text = re.sub(r"--.*\n", "", file.read_text(encoding="utf-8"))

    assert text.startswith(BEGINNING_OF_ROLES)
    assert re.fullmatch(r'(\s*GRANT [^;]+\sTO :"role";)+\s*', text.removeprefix(BEGINNING_OF_ROLES))


@pytest.mark.parametrize("folder", PAGES)
def test_the_page_names_the_files_that_there_are(folder: str) -> None:
    page = PAGES[folder].read_text(encoding="utf-8")

    assert set(re.findall(r"`(\w+\.sql)`", page)) == {file.name for file in SQL.glob(f"{folder}/*")}


@pytest.mark.parametrize("file", PROGRAM, ids=name_of)
def test_a_file_is_used(file: Path, texts: set[str]) -> None:
    # A rollup is named by its table, without the folder.
    assert texts & ({name_of(file), file.stem} if file.parent.name == "engine" else {name_of(file)})
