"""The names of an app's tables, where they differ from ours.

Our SQL uses the same names for the app's tables and columns everywhere. If the app has other names, a schema
of this installation, by default ``prompt_stats``, holds a plain view with our names for each of its tables.
This schema comes first in the search path of our sessions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

APP_TABLES = ("prompts", "prompt_usage", "prompt_favorites", "posts")
"""The app's tables, by our names."""

VIEWS_SCHEMA = "prompt_stats"
"""The default schema of the views."""

_PAIR = re.compile(r"(?P<ours>\w+(\.\w+)?)=(?P<theirs>[^\s,=]+)")


@dataclass(frozen=True)
class TableNames:
    """The app's names.

    ``schema``: the schema of its tables and of ours. None means the schema in which sessions create tables,
    usually ``public``. ``tables`` and ``columns``: the app's names by ours, where they differ. ``views``: the
    schema of the views, which belongs only to this installation.
    """

    schema: str | None = None
    tables: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[tuple[str, str], str] = field(default_factory=dict)
    views: str = VIEWS_SCHEMA

    @classmethod
    def parse(cls, given: str) -> TableNames:
        """Parses pairs ``ours=theirs``, separated by commas or blanks.

        Examples of pairs are ``schema=app``, ``views=app_views``, ``prompts=templates`` and
        ``prompt_usage.created_at=used_at``.

        :raises ValueError: a text is not a pair, a table is none of the four, or the tables and the views
            have the same schema.
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
                raise ValueError(f"{table} is not one of {', '.join(APP_TABLES)}")
            elif column:
                columns[table, column] = theirs
            else:
                tables[table] = theirs
        if schemas["schema"] == schemas["views"]:
            raise ValueError(f"schema and views are both {schemas['views']}, but have to differ")
        return cls(schemas["schema"], tables, columns, schemas["views"])

    @property
    def has_views(self) -> bool:
        """Whether a table or column has another name than ours."""
        return bool(self.tables or self.columns)

    @property
    def search_path(self) -> tuple[str, ...]:
        """The schemas in which sessions look for tables, in order. If it is empty, the default applies."""
        views = (self.views,) if self.has_views else ()
        return (*views, self.schema) if self.schema else ()

    def table(self, ours: str) -> str:
        """The name of a table in the database, without its schema."""
        return self.tables.get(ours, ours)

    def qualified(self, ours: str) -> str:
        """The name of a table in the database, as SQL, with its schema if that is known."""
        parts = (self.schema, self.table(ours)) if self.schema else (self.table(ours),)
        return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)

    def column(self, table: str, ours: str) -> str:
        """The name of a column in the database; ``table`` is ours."""
        return self.columns.get((table, ours), ours)


DEFAULT_NAMES = TableNames()
