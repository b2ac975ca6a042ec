"""An app whose ``prompt_usage`` has partitions: ranges of days, one of them divided by hash, a default."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pipeline.adoption.schema import migrate
from pipeline.database.connections import Database
from tests.conftest import NewDatabase

TODAY = dt.datetime.now(dt.UTC).date()

TABLES = """
    CREATE TABLE prompts (id uuid PRIMARY KEY, slug text, name text NOT NULL, template text);
    CREATE TABLE users (id uuid PRIMARY KEY, email text);
    CREATE TABLE prompt_usage (
        id uuid NOT NULL DEFAULT gen_random_uuid(), prompt_id uuid NOT NULL, user_id uuid, scene text,
        environment text, outfit text, success boolean, generation_time_ms integer, error_message text,
        created_at timestamptz {created_at} DEFAULT now()
    ) PARTITION BY RANGE (created_at);
"""
KEY = "ALTER TABLE prompt_usage ADD PRIMARY KEY (id, created_at);"


def bounds(first: int, last: int) -> str:
    """Of the days from ``first`` days ago up to, and without, ``last`` days ago."""
    from_, to = (TODAY - dt.timedelta(days=age) for age in (first, last))
    return f"FOR VALUES FROM ('{from_} 00:00+00') TO ('{to} 00:00+00')"


def partition(name: str, first: int, last: int) -> str:
    """The statement that makes one."""
    return f"CREATE TABLE {name} PARTITION OF prompt_usage {bounds(first, last)};"


def attach(name: str, first: int, last: int) -> str:
    """The statement that attaches one."""
    return f"ALTER TABLE prompt_usage ATTACH PARTITION {name} {bounds(first, last)};"


PARTITIONS = f"""
    CREATE TABLE old PARTITION OF prompt_usage {bounds(60, 30)} PARTITION BY HASH (id);
    CREATE TABLE old_0 PARTITION OF old FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE old_1 PARTITION OF old FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    {partition("middle", 30, 5)}
    {partition("recent", 5, -30)}
    CREATE TABLE other PARTITION OF prompt_usage DEFAULT;
"""
"""Days by age: 60 to 31 in ``old``, 30 to 6 in ``middle``, 5 and younger in ``recent``."""

TREE = TABLES.format(created_at="NOT NULL") + KEY + PARTITIONS
KEYLESS_TREE = TABLES.format(created_at="") + PARTITIONS


@contextmanager
def partitioned_template(new_database: NewDatabase, tables: str = TREE) -> Iterator[str]:
    """The name of a database with such tables, adopted, to be copied; for a block."""
    with new_database("template0") as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute(tables.encode())
        migrate(database)
        database.close()
        yield str(conninfo_to_dict(database.conninfo)["dbname"])


def copied(new_database: NewDatabase, template: str) -> Iterator[Database]:
    """A database of its own."""
    with new_database(template) as database:
        yield database
