"""What all tests share: one embedded server a session, one fresh database a test."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipeline.adoption import schema
from pipeline.database.connections import Database
from pipeline.database.embedded import client
from pipeline.database.embedded.server import Server
from pipeline.engines import duckdb_engine
from pipeline.engines.engine import Engine

FIRST_DAY = dt.date(2025, 1, 1)
"""The default of PROMPT_STATS_START_DATE."""

LONGEST_TEST = dt.timedelta(seconds=20)
"""Longer than any that takes midnight for far away."""

TEMPLATE, APP_TEMPLATE, ADOPTED_TEMPLATE = "migrated", "an app's", "adopted"

APP_SCHEMA = Path(__file__).parent / "data" / "app.sql"
"""The tables of an app in the field, made by Drizzle."""
LONGEST_FILES = (
    "test_demo.py",
    "test_histories.py",
    "test_operations.py",
    "test_dagster_ui.py",
    "test_dagster_guard.py",
    "test_faults.py",
    "test_power_cuts.py",
    "test_dashboard.py",
    "test_erasure.py",
    "test_keeping.py",
    "test_app_schemas.py",
    "test_recount.py",
    "test_roles.py",
    "test_export.py",
    "test_wheel.py",
    "test_api_schema.py",
    "test_orchestration.py",
    "test_adoption.py",
    "test_backfill.py",
)

NewDatabase = Callable[[str], AbstractContextManager[Database]]
# As it would be, but for the deadline: a busy machine is no fault of the code.
hypothesis.settings.register_profile("unhurried", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("unhurried")
# For the random histories: pytest tests/properties --hypothesis-profile=thorough
hypothesis.settings.register_profile("thorough", deadline=None)

_numbers = count()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in what a script starts with &. Dagster then ignores SIGTERM too, and so does every process that
    # a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Two a core: tests wait for servers and disks as long as they compute."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that parallel runs end together."""
    order = {name: number for number, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(autouse=True)
def no_midnight_within() -> None:
    """Waits for midnight if it is near: what a test appends today is to be of today when it looks."""
    now = dt.datetime.now(dt.UTC)
    left = dt.datetime.combine(now.date() + dt.timedelta(days=1), dt.time(), dt.UTC) - now
    if left < LONGEST_TEST:
        time.sleep(left.total_seconds())


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the session's own embedded server; TEST_POSTGRES_BIN names the binaries of another."""
    home = tmp_path_factory.mktemp("server home")
    if binaries := os.environ.get("TEST_POSTGRES_BIN"):
        with other_server(Path(binaries), home) as url:
            yield url
        return
    url = client.start(home)
    with psycopg.connect(url, autocommit=True) as connection:
        # A thousand small databases a session: durability is what other tests are for.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url


@contextmanager
def other_server(binaries: Path, root: Path) -> Iterator[str]:
    """A server of another version, made of its binaries, for a block."""
    # Run by root, the server belongs to another user, who has to pass through.
    root.chmod(0o711)
    server = OtherServer(root, binaries)
    server.initialise()
    server.start()
    try:
        yield make_conninfo(server.conninfo(), dbname="postgres")
    finally:
        server.stop()


class OtherServer(Server):
    """A server that is not the package's."""

    def __init__(self, root: Path, binaries: Path) -> None:
        super().__init__(root)
        self._found_binaries = binaries


@pytest.fixture(scope="session")
def new_database(server_url: str) -> NewDatabase:
    """Makes a database of its own, as a copy of another, for a block."""
    return databases_of(server_url)


def databases_of(server_url: str) -> NewDatabase:
    """The same, on a server."""

    @contextmanager
    def create(template: str) -> Iterator[Database]:
        name = f"test_{next(_numbers)}"
        with psycopg.connect(server_url, autocommit=True) as administrator:
            administrator.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            database = Database.from_url(make_conninfo(server_url, dbname=name))
            try:
                yield database
            finally:
                database.close()
                administrator.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    return create


@pytest.fixture(scope="session")
def migrated_template(server_url: str) -> str:
    """The name of a database with the current schema, to be copied."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{TEMPLATE}" TEMPLATE template0')
    database = Database.from_url(make_conninfo(server_url, dbname=TEMPLATE))
    schema.migrate(database)
    database.close()
    return TEMPLATE


@pytest.fixture(scope="session")
def app_template(server_url: str) -> str:
    """The name of a database as an app has it that never heard of us, to be copied."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{APP_TEMPLATE}" TEMPLATE template0')
    with psycopg.connect(make_conninfo(server_url, dbname=APP_TEMPLATE)) as connection:
        connection.execute(APP_SCHEMA.read_bytes())
    return APP_TEMPLATE


@pytest.fixture(scope="session")
def adopted_template(server_url: str, app_template: str) -> str:
    """The same, with what ``migrate`` adds."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{ADOPTED_TEMPLATE}" TEMPLATE "{app_template}"')
    database = Database.from_url(make_conninfo(server_url, dbname=ADOPTED_TEMPLATE))
    schema.migrate(database)
    database.close()
    return ADOPTED_TEMPLATE


@pytest.fixture(scope="session")
def spark_remote() -> Iterator[str]:
    """The address of the session's own Spark Connect server; TEST_SPARK_REMOTE is that of another."""
    if other := os.environ.get("TEST_SPARK_REMOTE"):
        yield other
        return
    # Only here: most workers need none of it.
    from tests.spark import sail

    with sail() as remote:
        yield remote


@pytest.fixture(scope="session")
def spark_engine(spark_remote: str) -> Engine:
    """Spark as an engine of the rollups."""
    from pipeline.engines.spark_engine import SparkEngine

    return SparkEngine(spark_remote)


@pytest.fixture(params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine of the rollups."""
    if request.param == "duckdb":
        return duckdb_engine
    spark: Engine = request.getfixturevalue("spark_engine")
    return spark


@pytest.fixture
def empty_database(new_database: NewDatabase) -> Iterator[Database]:
    """A database without any table."""
    with new_database("template0") as database:
        yield database


@pytest.fixture
def database(new_database: NewDatabase, migrated_template: str) -> Iterator[Database]:
    """A database with the current schema and no rows."""
    with new_database(migrated_template) as database:
        yield database


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """The root of an empty lake."""
    return str(tmp_path / "lake")
