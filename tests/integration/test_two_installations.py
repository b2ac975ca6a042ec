"""Two apps in two schemas of one database, both adopted: each has its own, or the second is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from pipeline.adoption.schema import migrate, plan_migration, require_current, undo
from pipeline.database.connections import Database
from pipeline.errors import DatabaseError
from pipeline.maintenance.retention import retain
from pipeline.names import TableNames
from pipeline.orchestration.resources import Stores
from pipeline.refresh import refresh
from pipeline.settings import Settings
from tests.app import at
from tests.neighbour import NAMES, contents, make_tables, named
from tests.roles import as_role

SALON = replace(NAMES, schema="salon")
"""The second app: the same names in another schema."""
PLAIN = TableNames("plain")
OWN_VIEWS = replace(SALON, views="prompt_stats_salon")

LIVE = """
    INSERT INTO {schema}.users (id, email) VALUES (gen_random_uuid(), 'a');
    INSERT INTO {schema}.templates (id, name, template) VALUES (gen_random_uuid(), 'a name', 'a text');
    INSERT INTO {schema}."Uses" (prompt_id, user_id, used_at)
    SELECT templates.id, users.id, now() - number * interval '1 day'
    FROM {schema}.templates, {schema}.users, generate_series(1, {uses}) AS number;
"""


@pytest.fixture
def shop(empty_database: Database) -> Iterator[Database]:
    """The first app, adopted; beside it the tables of the second, in the schema salon."""
    for schema, uses in (("shop", 5), ("salon", 7)):
        make_tables(empty_database.conninfo, schema)
        with psycopg.connect(empty_database.conninfo) as app:
            app.execute(LIVE.format(schema=schema, uses=uses).encode())
    database = named(empty_database.conninfo)
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def salon(shop: Database) -> Iterator[Database]:
    """The second app with the names of the first: it is not adopted yet."""
    database = named(shop.conninfo, SALON)
    yield database
    database.close()


def look(database: Database) -> dict[str, dict[str, tuple[object, ...]]]:
    """What is in both apps' tables, and in the schemas of views."""
    with psycopg.connect(database.conninfo) as connection:
        views = "SELECT schemaname || viewname, definition FROM pg_views WHERE schemaname ~ 'prompt_stats'"
        return {
            "shop": dict(contents(connection, "shop")),
            "salon": dict(contents(connection, "salon")),
            "views": {name: (definition,) for name, definition in connection.execute(views)},
        }


def test_the_views_of_another_installation_are_refused(shop: Database, salon: Database) -> None:
    before = look(shop)
    refused = (
        r"the schema prompt_stats does not belong to this installation: prompt_stats\.posts is a view of"
        r" shop\.posts,.*"
        r"add views=prompt_stats_salon to PROMPT_STATS_TABLES"
    )
    for attempt in (plan_migration, migrate, require_current):
        with pytest.raises(DatabaseError, match=refused):
            attempt(salon)
    with pytest.raises(DatabaseError, match=refused):
        _ = Stores(Settings(), salon).database
    assert look(shop) == before
    assert migrate(shop).steps == []


def test_what_the_app_has_under_the_name_of_the_views_is_refused(shop: Database) -> None:
    with psycopg.connect(shop.conninfo) as app:
        app.execute("CREATE SCHEMA its; CREATE TABLE its.prompts (); CREATE VIEW its.posts AS SELECT 1 AS id")
    database = named(shop.conninfo, replace(SALON, views="its"))
    with pytest.raises(DatabaseError, match=r"its\.posts is no view of prompt-stats, its\.prompts is no"):
        migrate(database)
    database.close()


def test_both_are_adopted_and_neither_touches_the_other(
    shop: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    salon = named(shop.conninfo, OWN_VIEWS)
    before = look(shop)
    migrate(salon)
    after = look(shop)
    assert after["shop"] == before["shop"]
    assert before["views"].items() < after["views"].items()

    its_lake, others_lake = (str(tmp_path_factory.mktemp("lake")) for _ in range(2))
    for database, lake, other, uses in ((shop, its_lake, "salon", 5), (salon, others_lake, "shop", 7)):
        require_current(database)
        before = look(shop)
        assert refresh(at(database, lake)).usage_count == uses
        assert retain(at(database, lake), 2).rows > 0
        assert refresh(at(database, lake)).usage_count == uses
        after = look(shop)
        assert (after[other], after["views"]) == (before[other], before["views"])

    undo(salon)
    assert look(shop)["shop"] == after["shop"]
    require_current(shop)
    assert refresh(at(shop, its_lake)).usage_count == 5
    salon.close()


def test_a_role_of_the_one_has_no_right_on_the_other(shop: Database) -> None:
    plain, salon = named(shop.conninfo, PLAIN), named(shop.conninfo, OWN_VIEWS)
    with psycopg.connect(shop.conninfo) as app:
        app.execute("CREATE SCHEMA plain")
    migrate(plain)
    migrate(salon)
    others = ("shop.prompt_stats", "prompt_stats.prompt_usage", 'shop."Uses"')
    for database, schema, views in ((plain, "plain", ""), (salon, "salon", OWN_VIEWS.views)):
        with (
            as_role(database, "pipeline", schema=schema, views=views) as role,
            role.connect() as connection,
        ):
            connection.execute("SELECT FROM prompt_usage, prompt_stats")
            for table in others:
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(f"SELECT FROM {table}".encode())
        database.close()


@pytest.mark.parametrize("given", ["views=public, prompts=templates", "schema=app views=app"])
def test_views_have_a_schema_of_their_own(given: str) -> None:
    with pytest.raises(ValueError, match=r"schema and views are both (public|app), but have to differ"):
        TableNames.parse(given)
