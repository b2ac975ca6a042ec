"""What tests share: a history that is published, instances of Dagster, and the stores of the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipeline.database.connections import Database
from pipeline.lake import periods
from pipeline.orchestration.resources import Stores
from pipeline.settings import Settings
from tests.conftest import FIRST_DAY, NewDatabase
from tests.published import Published, publish


@pytest.fixture(scope="session", autouse=True)
def settled_at_once() -> Iterator[None]:
    """Has months of users made from few events: tests have no millions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(periods, "UNSETTLED_EVENTS", 0)
        yield


@pytest.fixture(scope="module")
def counted(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Published]:
    """What the module's ``live`` has an app do, published; to be copied."""
    lake = tmp_path_factory.mktemp("lake")
    with publish(new_database, migrated_template, lake, request.module.live) as published:
        yield published


@pytest.fixture
def history(counted: Published, lake: str) -> Iterator[Database]:
    """The same for a test alone, with its lake."""
    with counted.copy(lake) as database:
        yield database


@pytest.fixture
def stores(database: Database, lake: str) -> Stores:
    """The test's database and lake."""
    values = {"PROMPT_STATS_LAKE_URI": lake, "PROMPT_STATS_START_DATE": FIRST_DAY}
    return Stores(Settings.model_validate(values), database)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster with its storage in memory, which costs a run half of what files do."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home in which nothing ran yet, to be copied: to make one takes as long as a run."""
    home = tmp_path_factory.mktemp("dagster") / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        instance.get_runs(limit=1)
    return home


@pytest.fixture
def stored_instance(empty_home: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster on a home of its own, as schedules want it: they open it by its files."""
    with dg.DagsterInstance.local_temp(str(shutil.copytree(empty_home, tmp_path / "dagster"))) as instance:
        yield instance
