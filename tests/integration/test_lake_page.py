"""The blocks of docs/lake.md, run in order as they stand there, but for Spark's."""

from __future__ import annotations

import ast
import datetime as dt
import re
import uuid
from typing import Any

import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.lake.partials import USAGE, USERS
from pipeline.lake.periods import PERIOD_SCHEMA
from pipeline.lake.usage_events import TABLE
from pipeline.refresh import refresh
from tests.app import at
from tests.command import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "lake.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
SPARK = "# Spark\n"
EVENTS = 6789


def test_every_block_that_is_not_sparks_counts_the_events(
    database: Database, lake: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database.conninfo) as app:
        app.execute(
            "INSERT INTO prompt_usage (prompt_id, user_id, scene)"
            " SELECT %s, gen_random_uuid(), 'cafe' FROM generate_series(1, %s)",
            [uuid.UUID(int=7), EVENTS],
        )
    refresh(at(database, lake))
    # The files of before are still there.
    refresh(at(database, lake), [dt.datetime.now(dt.UTC).date()], replace=True)
    monkeypatch.setenv("PROMPT_STATS_LAKE_URI", lake)
    names: dict[str, Any] = {}
    address, *answers = [text for _, text in BLOCKS if not text.startswith(SPARK)]
    # Blocks of ours, from this repository.
    exec(address, names)  # noqa: S102
    for text in answers:
        exec(text, names)  # noqa: S102
        assert re.search(rf"\b{EVENTS}\b", capfd.readouterr().out), text


def test_sparks_blocks_are_python_and_read_delta() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python"}
    for _, text in BLOCKS:
        ast.parse(text)
        assert text.startswith(SPARK) == ('spark.read.format("delta")' in text)


def test_the_page_names_every_table_and_what_it_holds() -> None:
    tables = {USAGE.daily, *(name for rollup in (USAGE, USERS) for name in (rollup.monthly, rollup.total))}
    assert {TABLE, *tables, *PERIOD_SCHEMA.names} <= set(re.findall(r"`(\w+)`", DOCUMENT))
