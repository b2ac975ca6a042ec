"""What an app calls its tables, where it does not call them as we do.

Our SQL names the app's tables and columns in one way, everywhere. Where the app has other names, a schema of
the installation's own, as a rule ``prompt_stats``, holds a plain view for each of its tables, with our names,
and the sessions look there first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

APP_TABLES = ("prompts", "prompt_usage", "prompt_favorites", "posts")
"""The tables that belong to the app, as we call them."""

VIEWS_SCHEMA = "prompt_stats"
"""Where the views are, if there are any, and no other schema is named."""

_PAIR = re.compile(r"(?P<ours>\w+(\.\w+)?)=(?P<theirs>[^\s,=]+)")


@dataclass(frozen=True)
class TableNames:
    """The app's names.

    ``schema``: of its tables, and of ours beside them; None: where the database's sessions create tables, as
    a rule ``public``. ``tables`` and ``columns``: theirs by ours, where they differ. ``views``: the schema of
    the views, which belongs to this installation alone.
    """

    schema: str | None = None
    tables: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[tuple[str, str], str] = field(default_factory=dict)
    views: str = VIEWS_SCHEMA

    @classmethod
    def parse(cls, given: str) -> TableNames:
        """From pairs ``ours=theirs``, separated by commas or blanks.

        ``schema=app``, ``views=app_views``, ``prompts=templates`` and ``prompt_usage.created_at=used_at`` are
        such pairs.

        :raises ValueError: something else, a table that is none of the four, or one schema for the tables and
            the views.
        """
        schemas, tables, columns = {"schema": "public", "views": VIEWS_SCHEMA}, {}, {}
        for text in given.replace(",", " ").split():
            pair = _PAIR.fullmatch(text)
            if not pair:
                raise ValueError(f"{text} is not of the form name=name")
            ours, theirs = pair["ours"], pair["theirs"]
            table, _, column = ours.partition(".")
            if ours in schemas:
                schemas[ours] = theirs
            elif table not in APP_TABLES:
                raise ValueError(f"{table} is none of {', '.join(APP_TABLES)}")
            elif column:
                columns[table, column] = theirs
            else:
                tables[table] = theirs
        if schemas["schema"] == schemas["views"]:
            raise ValueError(f"schema and views are both {schemas['views']}, and have to differ")
        return cls(schemas["schema"], tables, columns, schemas["views"])

    @property
    def has_views(self) -> bool:
        """Whether a table or column has another name than ours."""
        return bool(self.tables or self.columns)

    @property
    def search_path(self) -> tuple[str, ...]:
        """Where sessions look for tables, in this order; empty: where they look anyway."""
        views = (self.views,) if self.has_views else ()
        return (*views, self.schema) if self.schema else ()

    def table(self, ours: str) -> str:
        """The name of a table in the database, without its schema."""
        return self.tables.get(ours, ours)

    def qualified(self, ours: str) -> str:
        """The name of a table in the database, as SQL; with its schema, if it is known."""
        parts = (self.schema, self.table(ours)) if self.schema else (self.table(ours),)
        return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)

    def column(self, table: str, ours: str) -> str:
        """The name of a column in the database; ``table`` is ours."""
        return self.columns.get((table, ours), ours)


DEFAULT_NAMES = TableNames()
