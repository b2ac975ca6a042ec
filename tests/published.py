"""A database whose stats are published, with its lake, to be copied: to publish takes longer than to copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pipeline.database.connections import Database
from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import NewDatabase

# A copy is refused.
IS_NO_COPY = """
    UPDATE stats_lake_token SET server = regexp_replace(
        server, '[0-9]+$', (SELECT oid::text FROM pg_database WHERE datname = current_database())
    )
"""


class Published(NamedTuple):
    """What is copied: the database, by its name, and the lake."""

    new_database: NewDatabase
    name: str
    lake: Path

    @contextmanager
    def copy(self, lake: str) -> Iterator[Database]:
        """A database of its own, for a block, and its lake in a new folder."""
        shutil.copytree(self.lake, lake)
        with self.new_database(self.name) as database:
            be_no_copy(database)
            yield database


def be_no_copy(database: Database) -> None:
    """Has a copied database use the lake of the one that it is a copy of."""
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(IS_NO_COPY)


@contextmanager
def publish(
    new_database: NewDatabase, template: str, lake: Path, live: Callable[[psycopg.Connection], object]
) -> Iterator[Published]:
    """What ``live`` has an app do in a database from a template, published; for a block."""
    with new_database(template) as database:
        with psycopg.connect(database.conninfo) as app:
            live(app)
        refresh(at(database, str(lake)))
        # A database is not copied while somebody is in it.
        database.close()
        yield Published(new_database, str(conninfo_to_dict(database.conninfo)["dbname"]), lake)
