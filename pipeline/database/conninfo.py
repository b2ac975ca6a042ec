"""The address of a database, in the one form that libpq reads.

Apart from :mod:`pipeline.database.connections`, so that the write path need not import what that imports.
"""

from __future__ import annotations

import re
from dataclasses import replace

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.database.url_parameters import Read, read_parameters, say_ignored
from pipeline.errors import DatabaseError
from pipeline.names import TableNames

KEEPALIVES = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""A server that vanished is noticed within a minute. libpq's own units: seconds, the last in milliseconds."""

DATABASE_URL = "DATABASE_URL"
READ_URL = "PROMPT_STATS_READ_URL"

_AMBIGUOUS = re.compile(r"postgresql://[^?#]*[@/][^?#]*@")
"""A second @, or one after a slash: libpq takes a part of the password for the host, the port or the
database, and its messages name those."""

INSTEAD = {DATABASE_URL: "the embedded server", READ_URL: "the database of DATABASE_URL"}
"""Variables that name a database, and which is used where they are not set."""


def libpq_conninfo(
    url: str,
    application_name: str = "prompt-stats",
    variable: str = DATABASE_URL,
) -> str:
    """The libpq form of any libpq or SQLAlchemy form of a database's address.

    What sessions have to be is set by ``pipeline.database.sessions``: poolers refuse or drop what is asked
    for here.

    :raises DatabaseError: it is neither. The text names ``variable``, and does not repeat the address, since
        that may hold a password.
    """
    read = _read(url)
    try:
        if _AMBIGUOUS.match(read.url):
            raise psycopg.ProgrammingError
        given = conninfo_to_dict(read.url)
    except psycopg.ProgrammingError:
        named = f": nobody knows its parameter {', '.join(read.unknown)}" if read.unknown else ""
        # No cause: libpq's message quotes what it could not read, which may be the password.
        raise DatabaseError(
            f"Reading {variable}",
            f"it is neither a URL such as postgresql://host/database nor a libpq connection string{named}",
            f"Correct it, with %40 for @ and %2F for / in a password, or unset it to use {INSTEAD[variable]}",
        ) from None
    say_ignored(variable, read.ignored)
    defaults = {"application_name": application_name, "connect_timeout": "10", **KEEPALIVES}
    # An encoding of the environment that the server does not know would end the connection.
    return make_conninfo("", **{**defaults, **given, "client_encoding": "UTF8"})


def names_in(url: str, names: TableNames) -> TableNames:
    """The names, with the schema that the address gives, unless they say where the tables are.

    :raises DatabaseError: no schema can have that name.
    """
    schema = _read(url).schema
    if schema and "\0" in schema:
        raise DatabaseError(
            f"Reading {DATABASE_URL}",
            "the name of the schema in it has a NUL character (%00)",
            "Correct the name, or leave it out",
        )
    return replace(names, schema=schema) if schema and names.schema in (None, "public") else names


def _read(url: str) -> Read:
    plain = re.sub(r"^(postgres|postgresql)(\+\w+)?://", "postgresql://", url.strip())
    return read_parameters(plain) if plain.startswith("postgresql://") else Read(plain)
