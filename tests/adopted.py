"""The smallest tables that an app may have before it hears of us, with ids of any type."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from pipeline.adoption.schema import migrate
from pipeline.database.connections import Database
from tests.conftest import NewDatabase

TABLES = """
    CREATE TABLE prompts (
        id {kind} PRIMARY KEY, slug text, name text NOT NULL, deleted_at timestamptz
    );
    CREATE TABLE prompt_usage (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), prompt_id {kind}, success boolean,
        generation_time_ms integer, scene text, created_at timestamptz DEFAULT now()
    );
"""

KINDS = ("uuid", "text", "bigint")

BEYOND_DOUBLES = 1152921504606846976
"""Whole numbers from here on are no double each: JavaScript reads several as one."""


def id_of(kind: str, number: int) -> Any:
    """The id with a number. Texts look like UUIDs, and are no UUIDs as Postgres writes them."""
    return {
        "uuid": uuid.UUID(int=number),
        "text": str(uuid.UUID(int=number | 0xABC << 100)).upper(),
        "bigint": BEYOND_DOUBLES + number,
    }[kind]


@contextmanager
def adopted(new_database: NewDatabase, kind: str, more: str = "") -> Iterator[Database]:
    """A database with these tables, changed by ``more`` SQL, and adopted; for a block."""
    with new_database("template0") as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute((TABLES.format(kind=kind) + more).encode())
        migrate(database)
        yield database
