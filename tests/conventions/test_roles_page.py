"""The page of the roles says of every table what each file of ``sql/roles/`` grants."""

from __future__ import annotations

import re

import pytest

from pipeline.adoption.schema import VERSION_TABLE
from pipeline.database.tables import metadata, views
from pipeline.health.doctor.rights import granted
from tests.command import REPOSITORY

PAGE = (REPOSITORY / "docs" / "roles.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in re.findall(r"^\| `.*`.*\|$", PAGE, re.MULTILINE)
]
BY_TABLE = {table: row for row in ROWS if len(row) == 6 for table in re.findall(r"`(\w+)`", row[0])}


def test_every_table_has_its_row() -> None:
    assert BY_TABLE.keys() == {*metadata.tables, *views.tables, VERSION_TABLE}


@pytest.mark.parametrize(("column", "role"), [(1, "reader"), (2, "app"), (3, "api"), (4, "pipeline")])
def test_the_rights_are_those_that_are_granted(column: int, role: str) -> None:
    given: dict[str, set[str]] = {table: set() for table in BY_TABLE}
    for right in granted((REPOSITORY / "sql" / "roles" / f"{role}.sql").read_text(encoding="utf-8")):
        if right.table:
            given[right.table].add(right.privilege)
    assert {table: set(re.findall("[A-Z]+", row[column])) for table, row in BY_TABLE.items()} == given
