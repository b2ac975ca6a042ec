"""No cell of an exported CSV file is a formula of a stranger's; raw files have the texts as they are."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.answers.export import Format, _without_formulas, open_export
from pipeline.database.connections import Database
from tests.api import served
from tests.command import prompt_stats
from tests.conftest import NewDatabase

BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
FORMULAS = [
    *(f"{beginning}1+1" for beginning in BEGINNINGS),
    '=HYPERLINK("https://evil.example","click")',
    "-2+3+cmd|' /C calc'!A0",
    "=1,2",
    "-",
]
HARMLESS = ["portrait", "a=b", "", " ", "'quoted", "2026-01-31", "-5", "-5.25", 'a "quote"', "a\n=b", "café"]
TEXTS = [*FORMULAS, *HARMLESS]


@pytest.fixture(scope="module")
def formulas(new_database: NewDatabase, migrated_template: str) -> Iterator[Database]:
    """A database with prompts of such names, in the order of their ids, and negative numbers beside them."""
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.cursor().executemany(
                "INSERT INTO prompts (id, name, template, usage_count) VALUES (%s, %s, '', -1)",
                [(uuid.UUID(int=number), text) for number, text in enumerate(TEXTS)],
            )
        yield database


def rows_of(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content, newline="")))


def exported(database: Database, kind: Format, **options: Any) -> str:
    with open_export(database, "prompts", kind, **options) as export:
        return b"".join(chunk.content for chunk in export.chunks).decode()


def test_no_text_is_a_formula_and_numbers_are_numbers(formulas: Database) -> None:
    rows = rows_of(exported(formulas, Format.CSV))
    assert [row["name"] for row in rows] == [*(f"'{text}" for text in FORMULAS), *HARMLESS]
    assert {row["usage_count"] for row in rows} == {"-1"}


def test_raw_is_as_the_table_has_it(formulas: Database) -> None:
    assert [row["name"] for row in rows_of(exported(formulas, Format.CSV, raw=True))] == TEXTS


def test_the_other_formats_have_the_texts_as_they_are(formulas: Database) -> None:
    for raw in (False, True):
        with open_export(formulas, "prompts", Format.PARQUET, raw=raw) as export:
            content = b"".join(chunk.content for chunk in export.chunks)
        assert pl.read_parquet(io.BytesIO(content))["name"].to_list() == TEXTS
        assert pl.read_json(exported(formulas, Format.JSON, raw=raw).encode())["name"].to_list() == TEXTS


def test_the_command_and_the_api_escape_unless_told_otherwise(formulas: Database, tmp_path: Path) -> None:
    escaped, raw = exported(formulas, Format.CSV), exported(formulas, Format.CSV, raw=True)
    with served(formulas) as client:
        assert client.get("/export/prompts").text == escaped
        assert client.get("/export/prompts?raw=true").text == raw
    for options, content in (((), escaped), (("--raw",), raw)):
        file = tmp_path / "prompts.csv"
        done = prompt_stats(
            tmp_path, "export", "prompts", "-o", str(file), *options, DATABASE_URL=formulas.conninfo
        )
        assert done.returncode == 0, done.stderr
        assert file.read_bytes() == content.encode()


@given(st.lists(st.none() | st.text() | st.sampled_from(TEXTS), min_size=1))
def test_a_text_is_escaped_or_unchanged(texts: list[str | None]) -> None:
    numbers = [-1] * len(texts)
    found = _without_formulas(pl.DataFrame({"text": texts, "n": numbers}, {"text": pl.String, "n": pl.Int64}))
    assert found["n"].to_list() == numbers
    for text, cell in zip(texts, found["text"], strict=True):
        assert cell == text or cell == f"'{text}"
        if cell:
            assert not cell.startswith(BEGINNINGS) or float(cell) <= 0
