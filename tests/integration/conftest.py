"""What tests of Dagster share: a home of its own, and the stores of the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipeline.database import Database
from pipeline.orchestration.resources import Stores
from pipeline.settings import Settings
from tests.conftest import FIRST_DAY


@pytest.fixture
def stores(database: Database, lake: str) -> Stores:
    """The test's database and lake."""
    values = {"PROMPT_STATS_LAKE_URI": lake, "PROMPT_STATS_START_DATE": FIRST_DAY}
    return Stores(Settings.model_validate(values), database)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster home of its own."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance
