"""Statements of whoever has the database besides us."""

from __future__ import annotations

from typing import Any

import psycopg

from pipeline.database.connections import Database


def run(database: Database, statements: str, values: tuple[Any, ...] = ()) -> None:
    """What an app or an operator does, in one transaction."""
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(statements.encode(), values)


def rows_of(database: Database, statement: str) -> list[Any]:
    """What a statement gives."""
    with psycopg.connect(database.conninfo) as connection:
        return connection.execute(statement.encode()).fetchall()
