"""Helpful changes that the app's owner has to decide on. ``migrate --plan`` only shows them.

A constraint on an app's table could reject what the app writes tomorrow.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, column, func, select, table, text

from pipeline.adoption.catalog import Catalog, quoted
from pipeline.database.queries import query
from pipeline.names import TableNames

IS_UNIQUE = text(query("adoption/is_unique"))
LIVING_SLUG_INDEX = "prompts_living_slug_key"


class Offer(NamedTuple):
    """``what``: what it is good for. ``statement``: the SQL to run."""

    what: str
    statement: str


def offers(connection: Connection, catalog: Catalog, names: TableNames) -> list[Offer]:
    """A unique index on the slugs of living prompts, if there is none and the data allows one."""
    found = catalog.tables.get("prompts")
    slug, deleted_at = (names.column("prompts", name) for name in ("slug", "deleted_at"))
    if not found or slug not in found.columns:
        return []
    name = quoted(catalog.schema, names.table("prompts"))
    if connection.execute(IS_UNIQUE, {"table": name, "column": slug}).scalar_one():
        return []
    prompts = table(names.table("prompts"), column(slug), column(deleted_at), schema=catalog.schema)
    twice = select(prompts.c[slug]).group_by(prompts.c[slug]).having(func.count(prompts.c[slug]) > 1).limit(1)
    living = ""
    if deleted_at in found.columns:
        twice = twice.where(prompts.c[deleted_at].is_(None))
        living = f" WHERE {quoted(deleted_at)} IS NULL"
    if connection.execute(twice).first():
        return []
    return [
        Offer(
            "two living prompts can no longer have the same slug, which would then identify neither of them",
            f"CREATE UNIQUE INDEX CONCURRENTLY {LIVING_SLUG_INDEX} ON {name} ({quoted(slug)}){living}",
        )
    ]
