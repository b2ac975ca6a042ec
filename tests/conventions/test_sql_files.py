"""The files of ``sql/``: each says what it is for, is one statement or only grants, and is used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from tests.command import REPOSITORY
from tests.psql import DEFAULT

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
ENGINE = [file for file in FILES if file.parent.name == "engine"]
ON_BOTH, ON_ONE = "Runs unchanged on DuckDB and Spark.", "Runs on DuckDB alone: "
HEADER = re.compile(r"-- Purpose: \S.*\.\n-- Grain:   \S.*\.\n-- Time:    \S.*\.\n(-- \S.*\n)*(?!--|\s)")


def name_of(file: Path) -> str:
    """The name by which ``pipeline.database.queries.query`` knows a file."""
    return file.relative_to(SQL).with_suffix("").as_posix()


def test_every_header_says_purpose_grain_and_time() -> None:
    assert [name_of(file) for file in FILES if not HEADER.match(file.read_text(encoding="utf-8"))] == []


def code(file: Path) -> str:
    """A file without its comments and literals."""
    text = file.read_text(encoding="utf-8")
    if file.parent.name in PAGES:
        # A file that psql runs may give its variables values first.
        text = DEFAULT.sub("", text)
    return re.sub(r"--.*|'(''|[^'])*'", "", text)


def test_every_file_is_one_statement() -> None:
    verbs = "WITH|SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|TRUNCATE|LOCK|ANALYZE|COMMENT|COPY"
    texts = {name_of(file): code(file) for file in set(FILES) - set(ROLES)}

    assert [name for name, text in texts.items() if ";" in text] == []
    assert [name for name, text in texts.items() if not re.match(rf"\s*({verbs})\b", text)] == []


def test_no_function_of_somebody_elses_is_called_instead() -> None:
    calls = re.compile(rf"(?<![\w.])(?:{'|'.join(VARIADIC)})\(")
    files = [file for file in FILES if file.parent.name != "engine"]

    assert [name_of(file) for file in files if calls.search(code(file))] == []


def test_every_roles_file_only_grants_and_only_to_the_role() -> None:
    texts = {file: re.sub(r"--.*\n", "", file.read_text(encoding="utf-8")) for file in ROLES}
    grants = re.compile(re.escape(BEGINNING_OF_ROLES) + r'(\s*GRANT [^;]+\sTO :"role";)+\s*')

    assert [name_of(file) for file, text in texts.items() if not grants.fullmatch(text)] == []


def test_every_page_names_the_files_that_there_are() -> None:
    named = {
        folder: set(re.findall(r"`(\w+\.sql)`", page.read_text(encoding="utf-8")))
        for folder, page in PAGES.items()
    }

    assert named == {folder: {file.name for file in SQL.glob(f"{folder}/*")} for folder in PAGES}


def test_every_file_is_used_by_the_part_of_the_package_that_its_folder_names() -> None:
    texts = {
        (file.relative_to(REPOSITORY / "pipeline").parts[0].removesuffix(".py"), node.value)
        for file in (REPOSITORY / "pipeline").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    literals = {text for _, text in texts}
    # Many packages read the lake, and a rollup is named by its table, without the folder.
    unused = [file for file in ENGINE if not literals & {name_of(file), file.stem}]
    others = [file for file in PROGRAM if file not in ENGINE]

    assert unused == []
    assert [name_of(file) for file in others if (file.parent.name, name_of(file)) not in texts] == []


def head(file: Path) -> str:
    """The header of a file as one line."""
    lines = re.findall(r"^-- (.*)$", file.read_text(encoding="utf-8").partition("\nWITH ")[0], re.MULTILINE)
    return " ".join(lines)


ROLLUPS = [file for file in ENGINE if ON_BOTH in head(file)]


def test_every_query_of_the_engines_says_where_it_runs() -> None:
    heads = {name_of(file): head(file) for file in ENGINE}

    assert [name for name, text in heads.items() if (ON_BOTH in text) == (ON_ONE in text)] == []


def tree(sql: str, dialect: str) -> exp.Expr:
    """What a dialect reads, with casts that fail (our sessions of Spark are ANSI)."""
    read = sqlglot.parse_one(sql, read=dialect)
    for cast in list(read.find_all(exp.Cast)):
        cast.replace(exp.Cast(this=cast.this, to=cast.args["to"]))
    for division in read.find_all(exp.Div):
        # What a division by 0 comes to differs; by constants there is none.
        if not division.expression.find(exp.Column):
            division.set("safe", None)
    return read


def test_duckdb_and_spark_read_every_rollup_as_the_same() -> None:
    rollups = {name_of(file): file.read_text(encoding="utf-8") for file in ROLLUPS}

    assert [
        name for name, sql in rollups.items() if repr(tree(sql, "duckdb")) != repr(tree(sql, "spark"))
    ] == []
    # 1.5 is a decimal for Spark, a double for DuckDB.
    decimal = re.compile(r"\b\d+\.\d+\b(?!e)")
    assert [name for name, sql in rollups.items() if decimal.search(re.sub(r"--.*", "", sql))] == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CAST(NULL AS TIMESTAMP) AS at",
        "SELECT a FROM t ORDER BY a",
        "SELECT a / b AS c FROM t",
        "SELECT a // 2 AS c FROM t",
        "SELECT $today AS today",
        "SELECT any_value(a) AS a FROM t",
    ],
)
def test_what_they_read_otherwise_is_seen(sql: str) -> None:
    try:
        spark = repr(tree(sql, "spark"))
    except sqlglot.ParseError as error:
        spark = str(error)
    assert repr(tree(sql, "duckdb")) != spark


def test_rollups_alone_go_to_the_chosen_engine() -> None:
    called = {
        name
        for file in (REPOSITORY / "pipeline").rglob("*.py")
        for name in re.findall(r"\brollups\.\w+\(\s*\"(\w+)\"", file.read_text(encoding="utf-8"))
    }
    # The others are named by a constant of pipeline.lake.partials.
    assert called ^ {file.stem for file in ROLLUPS} == {"prompt_usage_daily", "user_events"}


def test_every_bucket_is_computed_in_doubles() -> None:
    texts = {name_of(file): file.read_text(encoding="utf-8") for file in ENGINE}

    assert [
        name for name, text in texts.items() if text.count("ln(1.02e0 / 0.98e0)") != text.count("ceil(ln(")
    ] == []
