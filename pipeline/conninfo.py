"""The address of a database, in the one form that libpq reads.

Apart from :mod:`pipeline.database`, so that the write path need not import what that imports.
"""

from __future__ import annotations

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.errors import DatabaseError
from pipeline.names import DEFAULT_NAMES, TableNames

IN_UTC = "-c TimeZone=UTC"
"""The option that our sessions begin with."""


def libpq_conninfo(
    url: str, application_name: str = "prompt-stats", names: TableNames = DEFAULT_NAMES
) -> str:
    """The libpq form of any libpq or SQLAlchemy form of a database's address, with our session settings.

    ``names``: sessions look for tables where they say.

    :raises DatabaseError: it is neither. The text does not repeat it, since it may hold a password.
    """
    plain = re.sub(r"^(postgres|postgresql)(\+\w+)?://", "postgresql://", url.strip())
    try:
        given = conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        # No cause: libpq's message quotes what it could not read, which may be the password.
        raise DatabaseError(
            "Reading DATABASE_URL",
            "it is neither a URL such as postgresql://user@host/database nor a libpq connection string",
            "Correct it, or unset it to use the embedded server",
        ) from None
    options = f"{given.get('options') or ''} {IN_UTC}".strip()
    if names.search_path:
        path = ",".join('"{}"'.format(schema.replace('"', '""')) for schema in names.search_path)
        options += " -c search_path=" + re.sub(r"([\\\s])", r"\\\1", path)
    given.setdefault("application_name", application_name)
    given.setdefault("connect_timeout", "10")
    return make_conninfo("", **{**given, "options": options})
