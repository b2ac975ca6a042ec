"""Beside a running app: its tables, made by others, are adopted; nothing that it has is lost or blocked."""

from __future__ import annotations

import datetime as dt
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.adoption import steps
from pipeline.adoption.plan import Lock
from pipeline.adoption.schema import Callbacks, migrate, plan_migration, require_current, undo
from pipeline.database.connections import Database
from pipeline.database.sessions import search_path_option
from pipeline.errors import DatabaseError, LakeError
from pipeline.health.checks.catalog import CHECKS
from pipeline.lake import source
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.names import TableNames
from pipeline.refresh import plan_refresh, refresh
from pipeline.samples import seeding
from pipeline.settings import Settings
from pipeline.tracking import PromptTracker
from pipeline.web.dashboard.report import write_report
from tests.api import served
from tests.app import at
from tests.command import REPOSITORY, prompt_stats
from tests.conftest import APP_SCHEMA, FIRST_DAY, NewDatabase, databases_of, other_server
from tests.oracle import assert_equals_recount
from tests.psql import interpolated

App = psycopg.Connection[tuple[Any, ...]]
Rows = dict[str, list[tuple[Any, ...]]]

PROMPTS, USERS = (1, 2), (1001, 1002)
COUNTERS = {"usage_count", "success_count", "favorite_count"}
"""What the app counts itself, and the pipeline corrects."""

# Times carry a zone in the stats; constraints of the app's own keep nothing out of them.
RAW = """
    CREATE SCHEMA IF NOT EXISTS oracle;
    CREATE OR REPLACE VIEW oracle.raw AS
    SELECT id, prompt_id, user_id, scene, environment, outfit, success, generation_time_ms, error_message,
           created_at::timestamptz AS created_at
    FROM prompt_usage
"""

# What an app of the field does when a prompt is used: two statements, which are not one transaction.
USE = (
    """
    INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, created_at)
    VALUES (%(prompt)s, %(user)s, %(scene)s, %(success)s, %(time)s, %(at)s)
    """,
    """
    UPDATE prompts SET usage_count = usage_count + 1, success_count = success_count + %(success)s::int
    WHERE id = %(prompt)s
    """,
)

STRUCTURE = """
    SELECT table_schema || '.' || table_name || '.' || column_name, data_type || is_nullable, column_default
    FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
    UNION ALL SELECT indexname, indexdef, NULL FROM pg_indexes WHERE schemaname <> 'pg_catalog'
    UNION ALL SELECT tgname, pg_get_triggerdef(oid), NULL FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT conname, pg_get_constraintdef(oid), NULL FROM pg_constraint
    UNION ALL SELECT relname, array_to_string(reloptions, ' '), NULL FROM pg_class
    WHERE reloptions IS NOT NULL AND relkind = 'r'
    UNION ALL SELECT proname, prosrc, NULL FROM pg_proc WHERE pronamespace::regnamespace::text <> 'pg_catalog'
    UNION ALL SELECT nspname, NULL, NULL FROM pg_namespace WHERE nspname !~ '^pg_'
"""

COLUMNS = (
    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s ORDER BY 1, 2"
)


def ids(kind: str, number: int) -> Any:
    """The id with a number, in a database with ids of a kind."""
    return {"uuid": uuid.UUID(int=number), "text": f"id-{number}", "bigint": number}[kind]


def address(database: Database) -> str:
    """For programs that are told no names."""
    return make_conninfo(database.conninfo, options=search_path_option(database.names))


def connect(database: Database) -> App:
    """A connection as the app has it; each statement is a transaction."""
    return database.connect(autocommit=True)


def live(app: App, kind: str = "uuid") -> None:
    """Users, prompts, favourites and uses, some of which the app forgot to count."""
    app.cursor().executemany(
        "INSERT INTO users (id, email) VALUES (%s, %s)",
        [(ids(kind, user), f"{user}@example.org") for user in USERS],
    )
    app.cursor().executemany(
        "INSERT INTO prompts (id, name, template, category) VALUES (%s, 'a name', 'a text', 'portrait')",
        [(ids(kind, prompt),) for prompt in PROMPTS],
    )
    app.cursor().executemany(
        "INSERT INTO prompt_favorites (prompt_id, user_id) VALUES (%s, %s)",
        [(ids(kind, prompt), ids(kind, user)) for prompt, user in ((1, 1001), (1, 1001), (1, 1002))],
    )
    for number in range(20):
        use(app, number, kind)


def use(app: App, number: int, kind: str = "uuid") -> None:
    """One use of a prompt, counted as the app counts; one in five times it fails in between."""
    values = {
        "prompt": ids(kind, 1 + number % 2),
        "user": ids(kind, USERS[number % 2]) if number % 3 else None,
        "scene": ("studio", "", None)[number % 3],
        "success": (True, False, None)[number % 7 % 3],
        "time": number % 50 * 100 if number % 4 else None,
        "at": dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(days=number % 3),
    }
    for statement in USE[: 1 + bool(number % 5)]:
        app.execute(statement.encode(), values)


@pytest.fixture
def field(new_database: NewDatabase, app_template: str) -> Iterator[Database]:
    """An app's database before it heard of us, with some life in it."""
    with new_database(app_template) as database:
        with connect(database) as app:
            live(app)
        yield database


def script_of(kind: str) -> str:
    """What makes an app's tables with ids of a kind."""
    script = APP_SCHEMA.read_text().replace("uuid", kind)
    script = script.replace("gen_random_bigint()", "(random() * 1e15)::bigint")
    return script.replace("gen_random_text()", "gen_random_uuid()::text")


@contextmanager
def made(
    new_database: NewDatabase, script: str, kind: str = "uuid", rename: str = "", names: str = ""
) -> Iterator[Database]:
    """A database made by a script, with some life in it, and with the app's names."""
    with new_database("template0") as plain:
        with connect(plain) as app:
            app.execute(script.encode())
            live(app, kind)
            app.execute(rename.encode())
        conninfo = make_conninfo(plain.conninfo)
        named = Database.from_url(conninfo, names=TableNames.parse(names)) if names else plain
        try:
            yield named
        finally:
            named.close()


def structure(database: Database) -> set[tuple[Any, ...]]:
    """All that is in the database but for rows."""
    with connect(database) as app:
        return set(app.execute(STRUCTURE).fetchall())


def columns_of(database: Database, schema: str = "public") -> list[tuple[str, str]]:
    """Table and name of each column."""
    with connect(database) as app:
        return app.execute(COLUMNS, [schema]).fetchall()


def rows(database: Database, columns: list[tuple[str, str]]) -> Rows:
    """What some columns hold, by table."""
    listed = {table: ", ".join(name for of, name in columns if of == table) for table, _ in columns}
    with connect(database) as app:
        return {
            table: sorted(app.execute(f"SELECT {names} FROM {table}".encode()).fetchall(), key=str)
            for table, names in listed.items()
        }


def assert_true(database: Database, lake: str) -> None:
    """After a refresh the stats equal the recount."""
    refresh(at(database, lake), values=True)
    with connect(database) as app:
        app.execute(RAW)
    assert_equals_recount(database, FIRST_DAY, "oracle.raw")


def test_an_apps_database_is_adopted_counted_and_given_back(field: Database, lake: str) -> None:
    columns = columns_of(field)
    kept = [column for column in columns if column[1] not in COUNTERS]
    all_rows, kept_rows, before = rows(field, columns), rows(field, kept), structure(field)

    report = migrate(field)

    require_current(field)
    assert report.before is None
    assert rows(field, columns) == all_rows
    assert before <= structure(field)
    assert migrate(field).steps == []
    assert_true(field, lake)
    assert rows(field, kept) == kept_rows
    failed = {check.name for check in CHECKS if not check.make(at(field, lake)).passed}
    assert failed == set()

    undo(field)

    with connect(field) as app:
        app.execute("DROP SCHEMA oracle CASCADE")
    assert structure(field) == before
    assert rows(field, kept) == kept_rows


def test_the_lake_of_an_earlier_adoption_is_not_taken_for_this_ones(field: Database, lake: str) -> None:
    migrate(field)
    refresh(at(field, lake))
    undo(field)
    with connect(field) as app:
        for number in range(20, 25):
            use(app, number)
        app.execute("DELETE FROM prompt_usage WHERE success")
    migrate(field)
    with connect(field) as app:
        before = app.execute("SELECT * FROM prompts ORDER BY id").fetchall()

    with pytest.raises(LakeError, match="before migrate --undo"):
        plan_refresh(at(field, lake))
    with pytest.raises(LakeError, match="before migrate --undo"):
        refresh(at(field, lake), [])
    with pytest.raises(LakeError, match="before migrate --undo"):
        reconcile(at(field, lake))

    with connect(field) as app:
        assert app.execute("SELECT * FROM prompts ORDER BY id").fetchall() == before
    assert_true(field, f"{lake}/another")


def test_the_plan_says_each_lock_and_changes_nothing(field: Database, tmp_path: Path) -> None:
    before = structure(field)

    plan = plan_migration(field)
    printed = prompt_stats(tmp_path, "migrate", "--plan", DATABASE_URL=field.conninfo).stdout.splitlines()

    assert structure(field) == before
    assert [step.what for step in plan.steps if step.lock is Lock.ACCESS_EXCLUSIVE] == [
        "adds the column public.prompts.slug",
        "adds the column public.prompts.failure_count",
        "adds the column public.prompts.success_rate",
        "adds the column public.prompts.avg_generation_time_ms",
        "adds the column public.prompts.last_used_at",
        "adds the column public.prompts.stats_as_of",
        "adds the column public.prompt_usage.ingest_xid",
        "adds the column public.posts.prompt_id",
    ]
    statements = [" ".join(each.split()) for step in plan.steps for each in step.statements]
    assert [line.strip() for line in printed if line.endswith(";")] == [f"{each};" for each in statements]
    heard = list[str]()
    done = migrate(field, Callbacks(did=heard.append)).steps
    assert heard == done
    assert done == [*plan.revisions, *(step.what for step in plan.steps)]
    assert plan_migration(field).steps == []


def test_tables_that_the_app_does_not_have_are_made(field: Database, lake: str) -> None:
    with connect(field) as app:
        app.execute("DROP TABLE posts, prompt_favorites")
    migrate(field)
    assert_true(field, lake)
    with connect(field) as app:
        app.execute("INSERT INTO posts (prompt_id) VALUES (gen_random_uuid())")

    undo(field)

    # The app has begun to use one of them.
    tables = {table for table, _ in columns_of(field)}
    assert tables == {"users", "prompts", "prompt_usage", "posts"}


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (
            "ALTER TABLE prompt_usage DROP COLUMN created_at",
            r"public\.prompt_usage\.created_at is missing: When[^.]*\. Give.*\.created_at=its_name",
        ),
        (
            "ALTER TABLE prompt_usage ALTER success DROP DEFAULT, ALTER success TYPE integer USING 1",
            r"public\.prompt_usage\.success is integer, and should be boolean\. Change its type",
        ),
        (
            "ALTER TABLE posts RENAME TO pictures; CREATE VIEW posts AS SELECT * FROM pictures",
            r"public\.posts is a view, where an ordinary table is needed\. Name the table itself",
        ),
        (
            "DROP TABLE posts; CREATE TABLE posts (id uuid, created_at timestamp) PARTITION BY LIST (id)",
            r"public\.posts is partitioned, .*\. Nothing was changed. Only prompt_usage may have partitions",
        ),
        (
            "ALTER TABLE prompts ALTER usage_count TYPE real",
            r"usage_count is real, and should be bigint or integer or numeric or smallint\. Change its type",
        ),
        (
            """
            ALTER TABLE prompt_favorites DROP CONSTRAINT prompt_favorites_prompt_id_fkey;
            ALTER TABLE prompt_favorites ALTER prompt_id TYPE text""",
            r"public\.prompt_favorites\.prompt_id is text and public\.prompts\.id is uuid, so they can't be",
        ),
    ],
)
def test_what_can_not_be_used_is_said_before_anything_is_done(
    field: Database, script: str, text: str
) -> None:
    with connect(field) as app:
        app.execute(script.encode())
    before = structure(field)

    for attempt in (plan_migration, migrate):
        with pytest.raises(DatabaseError, match=text):
            attempt(field)

    assert structure(field) == before


def test_a_search_path_that_would_part_our_tables_from_the_apps_is_refused(field: Database) -> None:
    with connect(field) as app:
        app.execute("CREATE SCHEMA stats")
    before = structure(field)
    parted = Database(make_conninfo(field.conninfo, options="-c search_path=stats,public"))

    with pytest.raises(DatabaseError, match="schema public, but our tables in stats"):
        migrate(parted)
    parted.close()

    assert structure(field) == before
    together = Database(parted.conninfo, TableNames.parse("schema=public"))
    migrate(together)
    with connect(field) as app:
        app.execute("DELETE FROM prompt_usage")
    together.close()


def test_names_that_nobody_has_are_said(field: Database) -> None:
    names = TableNames.parse("prompts=templates, prompt_usage.made_at=created_at")
    named = Database(field.conninfo, names)

    with pytest.raises(DatabaseError) as error:
        migrate(named)
    named.close()

    assert "there is no table public.templates" in str(error.value)
    assert "names prompt_usage.made_at, which is not one of our columns" in str(error.value)


RENAMED = (
    "schema=shop prompts=templates prompt_usage=Uses prompt_usage.created_at=used_at prompts.usage_count=uses"
)
RENAME = """
    ALTER TABLE prompts RENAME TO templates;
    ALTER TABLE templates RENAME usage_count TO uses;
    ALTER TABLE prompt_usage RENAME TO "Uses";
    ALTER TABLE "Uses" RENAME created_at TO used_at;
    CREATE SCHEMA shop;
    ALTER TABLE templates SET SCHEMA shop; ALTER TABLE "Uses" SET SCHEMA shop;
    ALTER TABLE prompt_favorites SET SCHEMA shop; ALTER TABLE posts SET SCHEMA shop;
    ALTER TABLE users SET SCHEMA shop;
"""


def test_another_schema_and_other_names_work_the_same(
    new_database: NewDatabase, lake: str, tmp_path: Path
) -> None:
    with made(new_database, APP_SCHEMA.read_text(), rename=RENAME, names=RENAMED) as database:
        before, columns = structure(database), columns_of(database, "shop")
        kept = [(f'shop."{table}"', name) for table, name in columns if name not in {*COUNTERS, "uses"}]
        kept_rows = rows(database, kept)

        migrate(database)
        assert migrate(database).steps == []
        assert_true(database, lake)
        assert rows(database, kept) == kept_rows
        program = "import psycopg; psycopg.connect().execute('SELECT usage_count FROM prompts')"
        given = {"DATABASE_URL": make_conninfo(database.conninfo, options=""), "PROMPT_STATS_TABLES": RENAMED}
        ran = prompt_stats(tmp_path, "exec", sys.executable, "-c", program, **given)
        assert ran.returncode == 0, ran.stderr

        # Late events, changed rows, retention, a restored dump: through the views.
        with PromptTracker(address(database)) as tracker:
            tracker.track_post_creation(prompt_id=ids("uuid", 1), user_id=ids("uuid", 1001), success=True)
            tracker.flush(10)
            assert tracker.stats().written == 1
        with connect(database) as app:
            app.execute('DELETE FROM shop."Uses" WHERE success IS NULL')
        assert_true(database, lake)
        assert reconcile(at(database, lake)).repaired == {}
        with connect(database) as app:
            app.execute("DROP SCHEMA oracle CASCADE")
            app.execute('UPDATE shop."Uses" SET ingest_xid = 1000000000000')
        with database.engine.begin() as connection:
            source.renumber(connection, source.take_snapshot(connection), database.names)
        assert migrate(database).steps == []
        assert_true(database, lake)
        counted = refresh(at(database, lake)).usage_count
        assert retain(at(database, lake), 2).rows > 0
        assert refresh(at(database, lake)).usage_count == counted

        with connect(database) as app:
            app.execute("DROP SCHEMA oracle CASCADE")
        undo(database)
        assert structure(database) == before


def test_the_address_says_which_schema_the_tables_are_in(empty_database: Database) -> None:
    given = conninfo_to_dict(empty_database.conninfo)
    server = {name: str(given[name]) for name in ("host", "port", "user", "password") if name in given}
    parameters = server | {"schema": "shop", "connection_limit": "5"}
    url = f"postgresql:///{given['dbname']}?{urlencode(parameters)}"
    with connect(empty_database) as app:
        app.execute("CREATE SCHEMA shop")

    named = Database.from_url(url)
    migrate(named)
    with PromptTracker(url) as tracker:
        tracker.track_post_creation(prompt_id=uuid.uuid4(), success=True)
    named.close()

    with connect(empty_database) as app:
        assert app.execute("SELECT count(*) FROM shop.prompt_usage").fetchone() == (1,)
        assert {table for table, _ in columns_of(empty_database)} == set()


@pytest.mark.parametrize("kind", ["text", "bigint"])
def test_ids_may_be_texts_or_numbers(new_database: NewDatabase, lake: str, kind: str) -> None:
    with made(new_database, script_of(kind), kind) as database:
        migrate(database)
        assert_true(database, lake)

        with PromptTracker(address(database)) as tracker:
            tracker.track_post_creation(prompt_id=ids(kind, 1), success=True)
            tracker.track_post_creation(prompt_id="no-such-prompt", success=True)
        with connect(database) as app:
            app.execute("DELETE FROM prompts WHERE id = %s", [ids(kind, 2)])
        assert_true(database, lake)

        with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
            stats = client.get(f"/prompts/{ids(kind, 1)}/stats").json()
            assert (stats["promptId"], stats["totalUsage"]) == (str(ids(kind, 1)), 11)
            assert client.get(f"/prompts/sparklines?ids={ids(kind, 1)}").status_code == 200
            used = client.get(f"/users/{ids(kind, 1001)}/prompts").json()
            assert [prompt["promptId"] for prompt in used["prompts"]] == [str(ids(kind, 1))]
            assert client.put(f"/users/{ids(kind, 1002)}/favorites/{ids(kind, 1)}").status_code == 204
            listed = client.get(f"/prompts?userId={ids(kind, 1001)}&category=portrait").json()
            assert [prompt["id"] for prompt in listed["prompts"]] == [str(ids(kind, 1))]
        with connect(database) as app:
            assert app.execute("SELECT count(*) FROM prompt_usage_rejected").fetchone() == (1,)


def test_the_answers_of_an_adopted_database(field: Database, lake: str) -> None:
    migrate(field)
    seeding.seed_prompts(field)
    assert_true(field, lake)
    with served(field, PROMPT_STATS_LAKE_URI=lake) as client:
        assert client.get("/prompts?category=portrait&rating=sfw&tag=selfie").json()["totalCount"] > 0
        order = {"promptIds": [str(ids("uuid", 1))]}
        assert client.put(f"/users/{ids('uuid', 1001)}/favorites", json=order).status_code == 204
        assert client.get("/users/nobody/prompts").status_code == 422


class Published(NamedTuple):
    """An adopted database with stats, and the API on it. Its first prompt is used more, its second less."""

    kind: str
    database: Database
    lake: str
    client: httpx.Client


@pytest.fixture(scope="module", params=["uuid", "bigint"])
def published(
    request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Published]:
    """One with ids of each kind; tests only read."""
    kind, lake = request.param, str(tmp_path_factory.mktemp("lake"))
    with made(new_database, script_of(kind), kind) as database:
        with connect(database) as app:
            app.execute("UPDATE prompts SET name = 'prompt 1' WHERE id = %s", [ids(kind, 1)])
            app.execute(
                "UPDATE prompts SET name = 'prompt 2', category = 'fashion' WHERE id = %s", [ids(kind, 2)]
            )
            app.execute(
                "UPDATE prompt_usage SET created_at = created_at - interval '9 days' WHERE prompt_id = %s",
                [ids(kind, 2)],
            )
        migrate(database)
        refresh(at(database, lake), values=True)
        with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
            yield Published(kind, database, lake, client)


def questions(client: httpx.Client, known: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each path of a GET request, with what it needs, and with each parameter that is a choice or known."""
    description = client.get("/openapi.json").json()

    def values(parameter: dict[str, Any]) -> list[Any]:
        schema = parameter["schema"]
        if "$ref" in schema:
            schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        name = parameter["name"]
        return schema.get("enum") or ([] if name not in known and "default" in schema else [known[name]])

    for path, operations in description["paths"].items():
        if "get" not in operations:
            continue
        parameters = operations["get"].get("parameters", [])
        needed = {each["name"]: values(each) for each in parameters if each["required"]}
        more = [(each["name"], it) for each in parameters if not each["required"] for it in values(each)]
        for chosen in product(*needed.values()):
            given = dict(zip(needed, chosen, strict=True))
            query = {name: value for name, value in given.items() if f"{{{name}}}" not in path}
            yield path.format(**given), query
            yield from ((path.format(**given), {**query, name: value}) for name, value in more)


def test_every_question_about_an_adopted_database_is_answered(published: Published) -> None:
    kind, client = published.kind, published.client
    today = dt.datetime.now(dt.UTC).date().isoformat()
    known = {
        "key": ids(kind, 1),
        "ids": f"{ids(kind, 1)},{ids(kind, 2)}",
        **dict.fromkeys(("user_id", "userId"), ids(kind, 1001)),
        **dict.fromkeys(("from", "to", "before"), today),
        "category": "portrait",
        "rating": "sfw",
        "tag": "selfie",
        "search": "prompt",
        "scene": "studio",
        "days": 30,
        "timezone": "Europe/Berlin",
        "errorKind": "timeout",
    }
    answers = [client.get(path, params=query) for path, query in questions(client, known)]
    assert {str(answer.url): answer.text for answer in answers if answer.is_server_error} == {}
    # Some parameters exclude each other.
    assert sum(answer.is_success for answer in answers) > 100


def test_rankings_by_the_apps_categories(published: Published) -> None:
    for ranking, category, number in (
        *((each, "portrait", 1) for each in ("usage", "favored", "best", "failing", "slowest", "rising")),
        ("falling", "fashion", 2),
    ):
        found = published.client.get(f"/prompts/top/{ranking}", params={"category": category}).json()
        assert [prompt["name"] for prompt in found["prompts"]] == [f"prompt {number}"], ranking


def test_the_report_and_the_queries_of_people_on_an_adopted_database(
    published: Published, tmp_path: Path
) -> None:
    settings = Settings.model_validate({"PROMPT_STATS_LAKE_URI": published.lake})
    written = write_report(settings, published.database, tmp_path / "report.html")
    assert [prompt["name"] for prompt in written.prompts] == ["prompt 1", "prompt 2"]
    with connect(published.database) as people:
        for folder in ("analysis", "operations"):
            for file in sorted((REPOSITORY / "sql" / folder).glob("*.sql")):
                people.execute(interpolated(file).replace(":'prompt'", "'1'").encode())


def test_a_step_that_was_interrupted_is_taken_again(field: Database) -> None:
    # As a CREATE INDEX CONCURRENTLY leaves it that was killed.
    with connect(field) as app:
        app.execute("CREATE INDEX prompts_id_text_idx ON prompts ((id::text))")
        app.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'prompts_id_text_idx'::regclass"
        )

    assert "creates the index prompts_id_text_idx" in migrate(field).steps

    with connect(field) as app:
        is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'prompts_id_text_idx'::regclass"
        assert app.execute(is_valid).fetchone() == (True,)


def test_a_lock_that_others_hold_is_given_up_in_time(
    field: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LOCK_MILLISECONDS": 50, "PAUSE_SECONDS": 0.1, "PATIENCE_SECONDS": 0.5}.items():
        monkeypatch.setattr(steps, name, value)
    heard = list[str]()
    with psycopg.connect(field.conninfo) as slow:
        slow.execute("SELECT FROM prompts LIMIT 1")
        with pytest.raises(DatabaseError, match=r"adds the column public\.prompts\.slug.*prompts.* is held "):
            migrate(field, Callbacks(waits=heard.append))
    step = "adds the column public.prompts.slug"
    assert heard == [f"waiting for a lock that another transaction holds: {step}"]
    assert migrate(field).steps[0] == step


def test_writers_go_on_while_it_migrates(field: Database, lake: str) -> None:
    """The app goes on with its own statements, as real transactions, through migration and refreshes."""
    ended, longest, errors = threading.Event(), [0.0], list[Exception]()

    def write(first: int) -> None:
        with connect(field) as app:
            number = first
            while not ended.is_set():
                began = time.monotonic()
                try:
                    with app.transaction():
                        use(app, number)
                    if number % 10 == first:
                        app.execute("DELETE FROM prompt_favorites WHERE user_id = %s", [ids("uuid", 1002)])
                        app.execute("UPDATE prompts SET deleted_at = now() WHERE id = %s", [ids("uuid", 2)])
                        app.execute(
                            "INSERT INTO prompt_favorites (prompt_id, user_id) SELECT id, %s FROM prompts",
                            [ids("uuid", 1002)],
                        )
                    if number % 25 == first:
                        app.execute("DELETE FROM users WHERE id = %s", [ids("uuid", 1001)])
                        app.execute(
                            "INSERT INTO users (id, email) VALUES (%s, 'again') ON CONFLICT DO NOTHING",
                            [ids("uuid", 1001)],
                        )
                except (psycopg.errors.ForeignKeyViolation, psycopg.errors.DeadlockDetected):
                    pass  # As the app meets them without us: its user is gone, its statements cross.
                except Exception as error:
                    errors.append(error)
                    return
                longest[0] = max(longest[0], time.monotonic() - began)
                number += 2

    writers = [threading.Thread(target=write, args=[first]) for first in range(2)]
    for writer in writers:
        writer.start()
    try:
        migrate(field)
        for _ in range(3):
            refresh(at(field, lake))
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    assert errors == []
    assert_true(field, lake)


@pytest.fixture(scope="module")
def debians(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewDatabase]:
    """Databases on the server that Debian has, which is older than the embedded one."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not installed and not os.environ.get("CI"):
        pytest.skip("Debian's PostgreSQL is not installed here; in CI that is an error")
    with other_server(installed[-1], tmp_path_factory.mktemp("debians")) as url:
        yield databases_of(url)


def test_debians_server_does_the_same(debians: NewDatabase, lake: str) -> None:
    with made(debians, APP_SCHEMA.read_text()) as field:
        test_an_apps_database_is_adopted_counted_and_given_back(field, lake)
