"""The page of the checks is the list of the checks."""

from __future__ import annotations

import re

from pipeline.health.checks.catalog import CHECKS
from tests.command import REPOSITORY


def test_the_page_has_each_check_as_it_is() -> None:
    page = (REPOSITORY / "docs" / "checks.md").read_text(encoding="utf-8")
    rows = [
        f"| `{check.name}` | `{check.asset}` | {check.severity} | {check.cadence} |"
        f" {check.compares} | {check.remedy} |"
        for check in CHECKS
    ]
    assert re.findall(r"^\| `.*$", page, re.MULTILINE) == rows
