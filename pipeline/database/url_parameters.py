"""What other tools put behind the ``?`` of a database's URL, and libpq does not know.

An app shares its ``DATABASE_URL`` with us, in the form that its own tool documents. What means the same to
us is translated, what is about that tool alone is left out and said, and anything else is an error.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from psycopg import pq

logger = logging.getLogger(__name__)

SCHEMA = frozenset({"schema", "currentschema", "search_path", "schema_search_path"})
"""Where the tables are: of Prisma, JDBC, Go's drivers and postgres.js, and Rails. Of a list, the first."""

RENAMED = {"applicationname": "application_name", "database": "dbname"}

IGNORED = frozenset(
    {
        # Prisma, also for Supabase, Neon and Vercel
        *("pgbouncer", "connection_limit", "pool_timeout", "socket_timeout", "statement_cache_size"),
        *("sslidentity", "sslaccept", "workaround", "supa", "pool_mode", "single_use_connections"),
        *("max_connection_lifetime", "max_idle_connection_lifetime"),
        # Drizzle, postgres.js and node-postgres
        *("max", "min", "idle_timeout", "max_lifetime", "prepare", "fetch_types", "uselibpqcompat"),
        *("statement_timeout", "query_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
        # SQLAlchemy with asyncpg, and Django
        *("prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback", "timeout"),
        *(
            "command_timeout",
            "max_cached_statement_lifetime",
            "max_cacheable_statement_size",
            "server_settings",
        ),
        *(
            "conn_max_age",
            "conn_health_checks",
            "disable_server_side_cursors",
            "pool_size",
            "max_overflow",
            "pool_recycle",
            "pool_pre_ping",
        ),
        # Rails
        *("pool", "checkout_timeout", "prepared_statements", "reaping_frequency", "reconnect", "encoding"),
        *("advisory_locks", "min_messages", "statement_limit", "variables"),
        # JDBC, and Go's drivers
        *("preparethreshold", "preparedstatementcachequeries", "rewritebatchedinserts", "sslfactory"),
        *("logintimeout", "sockettimeout", "tcpkeepalive", "stringtype", "binary_parameters", "timezone"),
        *("pool_max_conns", "pool_min_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time"),
        *("pool_health_check_period", "default_query_exec_mode", "statement_cache_capacity"),
        *("statement_cache_mode", "description_cache_capacity"),
    }
)
"""Parameters of pools, statement caches and timeouts of others; compared in lower case."""

SSL = {
    **{mode: mode for mode in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")},
    **dict.fromkeys(("true", "1", "no-verify"), "require"),
    **dict.fromkeys(("false", "0"), "disable"),
}
"""What ``ssl`` of node-postgres and asyncpg, and a ``sslmode`` of theirs, is to libpq."""


_HOST_AND_PORT = re.compile(r"(?P<host>[^:,/]*|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]+)", re.ASCII)


class Read(NamedTuple):
    """``url``: one that libpq knows. ``schema``: where the tables are, if it says. ``unknown``: what nobody
    knows; empty where a password might be read as one.
    """

    url: str
    schema: str | None = None
    ignored: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def read_parameters(url: str) -> Read:
    """Takes out of a ``postgresql://`` URL what libpq does not know."""
    base, mark, parameters = url.partition("?")
    if not mark:
        return Read(url)
    known = _of_libpq()
    kept: list[tuple[str, str]] = []
    ssl: list[tuple[str, str]] = []
    ignored, unknown, schema = [], [], None
    for name, value in parse_qsl(parameters, keep_blank_values=True):
        lower = name.lower()
        if lower in SCHEMA:
            schema = value.split(",")[0].strip().strip('"') or schema
        elif lower in ("ssl", "sslmode") and value.lower() in SSL:
            (ssl if lower == "ssl" else kept).append(("sslmode", SSL[value.lower()]))
        elif RENAMED.get(lower, name) in known:
            kept.append((RENAMED.get(lower, name), value))
        elif lower in IGNORED:
            ignored.append(name)
        else:
            unknown.append(name)
    if any(name == "sslmode" for name, _ in kept):
        # It says more than a bare ssl=true, wherever that stands; of two, libpq reads the last.
        ssl = []
    kept.extend(ssl)
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in _with_hosts(kept))
    # A ? in a password that is not encoded: nobody knows where it ends.
    shown = () if "@" in parameters else tuple(unknown)
    plain = url if unknown else f"{base}?{pairs}" if pairs else base
    return Read(plain, schema, tuple(ignored), shown)


def _with_hosts(parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """SQLAlchemy's ``host=a:1&host=b:2`` as libpq lists it: of a repeated one it reads the last."""
    hosts = [value for name, value in parameters if name == "host"]
    ports = [value for name, value in parameters if name == "port"]
    found = [_HOST_AND_PORT.fullmatch(host) for host in hosts]
    if any(found):
        given = (*ports, *[""] * len(hosts))
        ports = [each["port"] if each else port for each, port in zip(found, given, strict=False)]
        hosts = [each["host"].strip("[]") if each else host for each, host in zip(found, hosts, strict=True)]
    others = [(name, value) for name, value in parameters if name not in ("host", "port")]
    listed = {"host": ",".join(hosts), "port": ",".join(ports)}
    return [*others, *((name, value) for name, value in listed.items() if value)]


@cache
def say_ignored(variable: str, ignored: tuple[str, ...]) -> None:
    """Logs what is left out, once."""
    if ignored:
        logger.warning("%s: %s not used here, only by other tools", variable, _listed(ignored))


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}"


@cache
def _of_libpq() -> frozenset[str]:
    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())
