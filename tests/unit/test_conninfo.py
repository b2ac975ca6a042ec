"""Addresses of a database: every form that a user may have becomes the one that libpq reads."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline.database.conninfo import libpq_conninfo, names_in
from pipeline.database.url_parameters import say_ignored
from pipeline.errors import DatabaseError
from pipeline.names import DEFAULT_NAMES, TableNames


@pytest.mark.parametrize(
    "address",
    [
        "postgres://app:hunter2@db.example:6543/shop",
        "postgresql://app:hunter2@db.example:6543/shop",
        "postgresql+psycopg://app:hunter2@db.example:6543/shop",
        "postgresql+psycopg2://app:hunter2@db.example:6543/shop",
        "postgresql+asyncpg://app:hunter2@db.example:6543/shop",
        "postgres+psycopg://app:hunter2@db.example:6543/shop",
        "  postgresql://app:hunter2@db.example:6543/shop\n",
        "host=db.example port=6543 user=app password=hunter2 dbname=shop",
    ],
)
def test_every_form_names_the_same_database(address: str) -> None:
    read = conninfo_to_dict(libpq_conninfo(address))

    assert read["host"] == "db.example"
    assert read["port"] == "6543"
    assert read["user"] == "app"
    assert read["password"] == "hunter2"  # noqa: S105  # it is the one above
    assert read["dbname"] == "shop"


@pytest.mark.parametrize(
    ("address", "password"),
    [
        ("postgresql://app:p%40ss%2Fw%20rd@db.example/shop", "p@ss/w rd"),
        (r"host=db.example user=app dbname=shop password='it\'s a \\ secret'", r"it's a \ secret"),
    ],
)
def test_a_password_may_hold_any_character(address: str, password: str) -> None:
    assert conninfo_to_dict(libpq_conninfo(address))["password"] == password


@pytest.mark.parametrize(
    ("parameters", "host", "port"),
    [
        ("host=a:1&host=b:2", "a,b", "1,2"),
        ("host=a:1&host=b", "a,b", "1,"),
        ("host=a&host=b&port=5433", "a,b", "5433"),
        ("host=a,b&port=1,2", "a,b", "1,2"),
        ("host=%2Frun%2Fpostgresql", "/run/postgresql", None),
        ("host=[::1]:5433&host=a:1", "::1,a", "5433,1"),
        ("host=::1", "::1", None),
    ],
)
def test_hosts_are_listed_however_they_are_given(parameters: str, host: str, port: str | None) -> None:
    read = conninfo_to_dict(libpq_conninfo(f"postgresql+psycopg2://app@/shop?{parameters}"))
    assert (read["host"], read.get("port"), read["dbname"]) == (host, port, "shop")


def test_connections_are_named_and_do_not_wait_for_ever() -> None:
    read = conninfo_to_dict(libpq_conninfo("postgresql://db.example/shop", "a name"))

    # Poolers refuse connections that ask for more.
    assert "options" not in read
    assert read["application_name"] == "a name"
    assert read["connect_timeout"] == "10"
    idle, interval, count = (int(str(read[f"keepalives_{name}"])) for name in ("idle", "interval", "count"))
    assert idle + interval * count <= 60
    assert read["tcp_user_timeout"] == "60000"


def test_what_the_address_says_is_kept() -> None:
    address = (
        "postgresql://db.example/shop?options=-c%20search_path%3Dapp"
        "&application_name=mine&connect_timeout=3&sslmode=require"
    )

    read = conninfo_to_dict(libpq_conninfo(address, "ours"))

    assert read["options"] == "-c search_path=app"
    assert read["application_name"] == "mine"
    assert read["connect_timeout"] == "3"
    assert read["sslmode"] == "require"


def test_reading_an_address_twice_changes_nothing_more() -> None:
    once = libpq_conninfo("postgresql://app@db.example/shop?options=-c%20work_mem%3D8MB")

    assert conninfo_to_dict(libpq_conninfo(once)) == conninfo_to_dict(once)


OF_TOOLS = [
    # as Prisma, Supabase, Neon, Heroku, SQLAlchemy and JDBC document them
    ("?schema=shop&pgbouncer=true&connection_limit=5&pool_timeout=20", "shop", ["connection_limit"]),
    ("?pgbouncer=true&workaround=supabase-pooler.vercel", None, ["pgbouncer", "workaround"]),
    ("?sslmode=require&channel_binding=require&options=endpoint%3Dep-cool-1", None, []),
    ("?ssl=true", None, []),
    ("?sslmode=no-verify&uselibpqcompat=true", None, ["uselibpqcompat"]),
    ("?prepared_statement_cache_size=0", None, ["prepared_statement_cache_size"]),
    ("?currentSchema=shop,public&ApplicationName=checkout&prepareThreshold=0", "shop", ["prepareThreshold"]),
    ("?search_path=shop&pool_max_conns=10", "shop", ["pool_max_conns"]),
    ("?schema=", None, []),
    ("?", None, []),
]


@pytest.mark.parametrize(("parameters", "schema", "ignored"), OF_TOOLS)
def test_parameters_of_other_tools_are_understood_or_ignored_and_named(
    parameters: str, schema: str | None, ignored: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    say_ignored.cache_clear()
    address = f"postgresql://app:hunter2@db.example/shop{parameters}"

    read = conninfo_to_dict(libpq_conninfo(address))

    assert (read["host"], read["password"], read["dbname"]) == ("db.example", "hunter2", "shop")
    assert names_in(address, DEFAULT_NAMES).schema == schema
    assert read.get("sslmode") == ("require" if "ssl" in parameters else None)
    assert all(name in caplog.text for name in ignored)
    assert bool(caplog.records) == bool(ignored)
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ("ssl=verify-full", "verify-full"),
        ("ssl=verify-ca", "verify-ca"),
        ("ssl=prefer", "prefer"),
        ("ssl=0", "disable"),
        ("ssl=true&sslmode=verify-full", "verify-full"),
        ("sslmode=verify-full&ssl=true", "verify-full"),
    ],
)
def test_tls_is_never_less_than_the_address_asks_for(given: str, mode: str) -> None:
    """As asyncpg, postgres.js and node-postgres spell it: left out, a server without TLS would do."""
    read = conninfo_to_dict(libpq_conninfo(f"postgresql://db.example/shop?{given}"))
    assert read["sslmode"] == mode


def test_an_ssl_that_nobody_understands_is_not_left_out() -> None:
    with pytest.raises(DatabaseError, match="nobody knows its parameter ssl"):
        libpq_conninfo("postgresql://db.example/shop?ssl=yes")


def test_a_schema_that_no_name_can_be_is_named_as_the_fault() -> None:
    with pytest.raises(DatabaseError, match="the name of the schema in it has a NUL character"):
        names_in("postgresql://app:hunter2@db.example/shop?schema=a%00b", DEFAULT_NAMES)


def test_what_the_address_says_of_the_schema_is_overruled_by_the_names() -> None:
    address = "postgresql://db.example/shop?schema=public"

    assert names_in(address, TableNames.parse("schema=salon")).schema == "salon"
    assert names_in(address, TableNames.parse("prompts=templates")).schema == "public"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [("?nonsense=1&sslmode=require", "nonsense"), ("?a=1&b", "a, b"), ("?hunter2=x@db.example/shop", None)],
)
def test_other_parameters_are_named_but_no_part_of_a_password(parameters: str, named: str | None) -> None:
    with pytest.raises(DatabaseError) as raised:
        libpq_conninfo(f"postgresql://app:x@db.example/shop{parameters}")

    assert (f"nobody knows its parameter {named}." in str(raised.value)) == bool(named)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "mysql://app:hunter2@db.example/shop",
        "hunter2",
        "password=hunter2 nonsense",
        "postgresql://app:hunter2@db.example/shop?nonsense=1",
        "postgresql://app:hunter2%zz@db.example/shop",
    ],
)
def test_an_unreadable_address_is_not_repeated(address: str) -> None:
    with pytest.raises(DatabaseError, match="Reading DATABASE_URL: it is neither a URL such as") as raised:
        libpq_conninfo(address)

    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__
