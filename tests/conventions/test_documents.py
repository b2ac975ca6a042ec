"""The documents: their links lead somewhere, and they name the commands and variables that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from pipeline.cli.main import app
from pipeline.settings import Settings
from tests.command import REPOSITORY, environment

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
MADE = sorted(path.stem for path in REPOSITORY.glob("docs/*.py"))
RECORDS = sorted(REPOSITORY.glob("docs/decisions/[0-9]*.md"))

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # an app with commands is a group
VARIABLES = sorted(str(field.validation_alias) for field in Settings.model_fields.values())


def path_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(document: Path) -> Iterator[str]:
    """The relative links of a document that lead nowhere."""
    for target, anchor in re.findall(r"\]\(([^)\s#]*)#?([^)\s]*)\)", document.read_text(encoding="utf-8")):
        if re.match(r"\w+:", target):
            continue
        file = document.parent / target if target else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield f"{target}#{anchor}"


def test_relative_links_lead_somewhere() -> None:
    assert [(path_of(document), link) for document in DOCUMENTS for link in dead_links(document)] == []


def test_documents_name_no_command_or_variable_that_is_not_there() -> None:
    called = re.compile(r"(?:`|/|^|&& |- )prompt-stats ([a-z]\S*?)[`\s]", re.MULTILINE)
    texts = {path_of(document): document.read_text(encoding="utf-8") for document in DOCUMENTS}
    named = {
        (path, name)
        for path, text in texts.items()
        for name in (*re.findall(r"\bPROMPT_STATS_\w+", text), *called.findall(text))
    }

    assert {(path, name) for path, name in named if name not in {*VARIABLES, *COMMANDS}} == set()


@pytest.mark.parametrize("page", MADE)
def test_a_page_that_is_made_is_up_to_date(page: str, tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "docs" / f"{page}.py")]
    made = subprocess.run(
        command, env=environment(tmp_path), capture_output=True, encoding="utf-8", check=True
    )

    assert (REPOSITORY / "docs" / f"{page}.md").read_text(encoding="utf-8") == made.stdout


def test_every_variable_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_readme_is_short() -> None:
    assert len(README.split("## Read on")[0].splitlines()) <= 90


def test_every_record_has_its_three_parts() -> None:
    headings = {
        path_of(record): re.findall(r"^## (.+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
        for record in RECORDS
    }

    parts = ["Context", "Decision", "Consequence"]
    assert {record: found for record, found in headings.items() if found != parts} == {}


def test_records_are_numbered_and_listed() -> None:
    index = (REPOSITORY / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")

    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))
    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == [record.name for record in RECORDS]
