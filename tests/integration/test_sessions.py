"""A session is what we say, whatever the environment, the role, the database or a pooler says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pipeline.adoption import schema
from pipeline.answers import reading
from pipeline.database import sessions
from pipeline.database.connections import Database, Fault, fault_of, is_transient
from pipeline.database.locks import Lock
from pipeline.database.sessions import OF_TCP
from pipeline.errors import DatabaseError, DatabaseUnavailableError
from pipeline.health.checks import report
from pipeline.lake.usage_events import sync_days
from pipeline.refresh import refresh
from pipeline.tracking import PromptTracker
from tests.api import served
from tests.app import at
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount
from tests.pooler import pooled
from tests.roles import as_role
from tests.sessions import end_sessions

MODES: tuple[Literal["direct", "buffered"], ...] = ("direct", "buffered")

LATE = dt.datetime(2025, 6, 1, 23, 30, tzinfo=dt.UTC)
"""Another day in New York, and another one in Auckland."""

ENVIRONMENT = {
    "PGTZ": "America/New_York",
    "PGDATESTYLE": "SQL, DMY",
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c TimeZone=Pacific/Auckland -c array_nulls=off -c extra_float_digits=-5",
}

HOSTILE = {
    "TimeZone": "Pacific/Auckland",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "idle_session_timeout": "300ms",
    "idle_in_transaction_session_timeout": "50ms",
    "transaction_timeout": "1s",
    "row_security": "on",
    "statement_timeout": "20s",
    "lock_timeout": "0",
    "synchronous_commit": "off",
    "client_connection_check_interval": "0",
}
"""Another value of each setting that a session of ours needs."""

BEHIND_A_POOLER = {
    **{name: value for name, value in HOSTILE.items() if name != "idle_session_timeout"},
    "idle_in_transaction_session_timeout": "5s",
    "transaction_timeout": "20s",
}
"""``idle_session_timeout`` ends the pooler's own connections, which it finds out while it gives them to
somebody. The bulk driver begins a transaction before a statement can set the other timeouts."""


def administrator(database: Database) -> psycopg.Connection[Any]:
    """A session of somebody else."""
    return psycopg.connect(database.conninfo, autocommit=True)


@contextmanager
def set_for(database: Database, whom: str, values: dict[str, str]) -> Iterator[None]:
    """Gives the role or the database of a test other settings, for a block, and our sessions no old ones."""
    with administrator(database) as owner:
        name = owner.info.dbname if whom == "DATABASE" else owner.info.user
        within = "" if whom == "DATABASE" else f' IN DATABASE "{owner.info.dbname}"'
        known = {row[0] for row in owner.execute("SELECT lower(name) FROM pg_settings")}
        given = {each: value for each, value in values.items() if each.lower() in known}
        for each, value in given.items():
            owner.execute(f"ALTER {whom} \"{name}\"{within} SET {each} = '{value}'".encode())
        database.close()
        try:
            yield
        finally:
            owner.execute(f'ALTER {whom} "{name}"{within} RESET ALL'.encode())


def give_prompts(database: Database) -> None:
    """One prompt, by its slug."""
    with administrator(database) as owner:
        owner.execute("INSERT INTO prompts (slug, name, template) VALUES ('portrait', 'Portrait', 'a')")


def track(conninfo: str, mode: Any, **values: Any) -> None:
    with PromptTracker(conninfo, mode=mode) as tracker:
        tracker.track_post_creation(prompt_id="portrait", success=True, **values)
        assert tracker.flush(20)
        assert (tracker.stats().failed, tracker.stats().rejected) == (0, 0)


def days(database: Database) -> list[tuple[dt.date, int]]:
    """What is published."""
    with administrator(database) as owner:
        return owner.execute("SELECT day, usage_count FROM stats_day ORDER BY day").fetchall()


def test_the_hostile_settings_are_all_that_are_pinned() -> None:
    assert HOSTILE.keys() == {name for name in OURS if name not in OF_TCP}
    assert not {name for name in HOSTILE if HOSTILE[name] == OURS[name]}


@pytest.mark.parametrize("whom", ["ROLE", "DATABASE"])
def test_no_setting_of_role_or_database_changes_a_number(database: Database, lake: str, whom: str) -> None:
    give_prompts(database)
    with set_for(database, whom, HOSTILE):
        for mode in MODES:
            track(database.conninfo, mode, created_at=LATE, scene=r"C:\new 'café'")
        refresh(at(database, lake), values=True)
        with served(database) as client:
            answer = client.get("/prompts/portrait/stats").json()
    assert days(database) == [(LATE.date(), 2)]
    assert (answer["totalUsage"], answer["lastUsedAt"]) == (2, "2025-06-01T23:30:00Z")
    assert_equals_recount(database, FIRST_DAY)


def test_no_variable_changes_a_number(database: Database, lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    give_prompts(database)
    with administrator(database) as owner:
        # An app's may have no zone: then the session's is the one that counts.
        owner.execute("ALTER TABLE prompt_usage ALTER created_at TYPE timestamp")
    with monkeypatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        database.close()
        for mode in MODES:
            track(database.conninfo, mode, created_at=LATE, scene="café")
        refresh(at(database, lake))
        assert reading.prompt(at(database, lake), "portrait")["usage_count"] == 2
    with administrator(database) as owner:
        times = owner.execute("SELECT created_at FROM prompt_usage").fetchall()
    assert times == [(LATE.replace(tzinfo=None),)] * 2
    assert days(database) == [(LATE.date(), 2)]


def assert_pinned(found: dict[str, str], wanted: sessions.Settings, database: Database) -> None:
    """``found``: all settings of a session. On a Unix socket those of TCP mean nothing."""
    is_tcp = not str(conninfo_to_dict(database.conninfo)["host"]).startswith("/")
    expected = {name: wanted[name] for name in wanted if name in found and (is_tcp or name not in OF_TCP)}
    assert {name: found[name] for name in expected} == expected


OURS = {**sessions.EVERYWHERE, **sessions.PIPELINE}
SETTINGS = "SELECT name, current_setting(name) FROM pg_settings"


@pytest.mark.parametrize(
    ("opened", "wanted"),
    [
        (lambda database: database.connect(), OURS),
        (lambda database: database.engine.connect().connection.driver_connection, OURS),
        (
            lambda database: sessions.connect(
                database.conninfo, sessions.settings_for(), psycopg.Connection, autocommit=True
            ),
            sessions.EVERYWHERE,
        ),
    ],
    ids=["psycopg", "SQLAlchemy", "tracker"],
)
def test_each_way_to_connect_pins_each_setting(
    database: Database, opened: Callable[[Database], psycopg.Connection[Any]], wanted: sessions.Settings
) -> None:
    is_filtered = {"on": "off", "off": "on"}[wanted["row_security"]]
    with set_for(database, "DATABASE", {**HOSTILE, "row_security": is_filtered}):
        connection = opened(database)
        found = dict(connection.execute(SETTINGS).fetchall())
        connection.close()
    assert_pinned(found, wanted, database)


def test_a_bulk_read_pins_each_setting(database: Database) -> None:
    with set_for(database, "DATABASE", HOSTILE), database.adbc() as bulk, bulk.cursor() as cursor:
        cursor.execute(SETTINGS)
        assert_pinned(dict(cursor.fetchall()), OURS, database)


@pytest.mark.parametrize("mode", MODES)
def test_a_policy_of_the_app_checks_what_is_tracked(database: Database, mode: str) -> None:
    give_prompts(database)
    with administrator(database) as owner, as_role(database, "app") as app:
        owner.execute("CREATE POLICY ours ON prompt_usage USING (scene <> 'theirs')")
        owner.execute("ALTER TABLE prompt_usage ENABLE ROW LEVEL SECURITY")
        with set_for(database, "DATABASE", {"row_security": "off"}):
            track(app.conninfo, mode, scene="ours")
        assert owner.execute("SELECT scene FROM prompt_usage").fetchall() == [("ours",)]


def test_a_setting_that_does_not_take_is_named(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"Setting up a session: .*work_mem.*\. Let the server"):
        sessions.connect(database.conninfo, {"work_mem": "a lot"}, psycopg.Connection)
    with pytest.raises(DatabaseError, match="extra_float_digits has to be 01, but stays 1"):
        sessions.connect(database.conninfo, {"extra_float_digits": "01"}, psycopg.Connection)


def test_a_setting_that_keeps_us_from_working_is_named(database: Database, lake: str) -> None:
    with set_for(database, "DATABASE", {"default_transaction_read_only": "on"}):
        seen = Database(database.conninfo)
        with pytest.raises(DBAPIError, match="read-only transaction") as refused:
            sync_days(at(seen, lake), [])
        assert "default_transaction_read_only" in fault_of(refused.value).value
        seen.close()
    with administrator(database) as owner:
        owner.execute("CREATE SCHEMA slow")
        # So that setting up a session takes longer than the timeout, whatever the machine.
        owner.execute(
            "CREATE FUNCTION slow.version() RETURNS text LANGUAGE sql AS $$ SELECT pg_sleep(60)::text $$"
        )
        owner.execute(f'ALTER DATABASE "{owner.info.dbname}" SET search_path = slow, pg_catalog'.encode())
    with (
        set_for(database, "DATABASE", {"statement_timeout": "100ms"}),
        pytest.raises(DatabaseUnavailableError, match=r"Setting up a session: .*longer statement_timeout"),
    ):
        Database.from_url(database.conninfo)


def test_sessions_that_idle_are_not_ended(database: Database, lake: str) -> None:
    give_prompts(database)
    short = {"idle_session_timeout": "300ms", "idle_in_transaction_session_timeout": "50ms"}
    with administrator(database) as owner, set_for(database, "DATABASE", short):
        track(database.conninfo, "direct")
        with database.locked(Lock.LAKE), database.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            owner.execute("SELECT pg_sleep(0.6)")
            assert connection.execute(text("SELECT 2")).scalar_one() == 2
        refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)


@pytest.mark.parametrize("timeout", ["idle_session_timeout", "idle_in_transaction_session_timeout"])
def test_a_session_that_was_ended_is_an_outage(database: Database, timeout: str) -> None:
    plain = sessions.connect_plainly(database.conninfo, autocommit=timeout == "idle_session_timeout")
    with administrator(database) as owner, plain:
        if owner.info.server_version < 140000:
            pytest.skip("This server does not know idle_session_timeout")
        plain.execute(f"SET {timeout} = '20ms'".encode())
        owner.execute("SELECT pg_sleep(0.2)")
        with pytest.raises(psycopg.Error) as raised:
            plain.execute("SELECT 1")
    assert is_transient(raised.value)
    assert fault_of(raised.value) is Fault.OUTAGE


@pytest.mark.parametrize("state", ["25P03", "25P04", "40001", "40P01", "57P01", "57P05"])
def test_what_passes_is_no_fault_of_the_program(database: Database, state: str) -> None:
    with administrator(database) as owner, pytest.raises(psycopg.Error) as raised:
        owner.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$".encode())
    assert is_transient(raised.value)
    assert fault_of(raised.value) is Fault.OUTAGE


def test_dead_connections_of_the_pools_go_unnoticed(database: Database) -> None:
    give_prompts(database)
    ours = "datname = current_database() AND application_name = 'prompt-stats-api'"
    event = {"eventId": str(uuid4()), "promptId": "portrait", "success": True}
    with served(database) as client, administrator(database) as owner:

        def after_the_end(method: str, path: str, **body: Any) -> int:
            assert client.get("/prompts/portrait/stats").status_code == 200
            assert client.post("/events", json=[]).status_code == 200
            assert end_sessions(owner, ours)
            return client.request(method, path, **body).status_code

        assert after_the_end("POST", "/events", json=[event]) == 200
        assert after_the_end("GET", "/prompts/portrait/stats") == 200
        assert after_the_end("GET", "/scenes") == 200
        favorite = f"/users/{uuid4()}/favorites/portrait"
        assert after_the_end("PUT", favorite) == 204
        assert after_the_end("DELETE", favorite) == 204
        assert after_the_end("GET", "/status") == 200
        assert owner.execute("SELECT count(*) FROM prompt_usage").fetchone() == (1,)


def test_a_pooler_in_session_mode_needs_no_configuration(database: Database, lake: str) -> None:
    give_prompts(database)
    # The bulk driver needs this one before a statement can set it, and the pooler takes no options.
    hostile = {**BEHIND_A_POOLER, "quote_all_identifiers": "off"}
    with set_for(database, "DATABASE", hostile), pooled(database.conninfo, "session") as address:
        for mode in MODES:
            track(address, mode, created_at=LATE, scene="café")
        behind = Database.from_url(address)
        refresh(at(behind, lake), values=True)
        with behind.engine.connect() as connection:
            zone = connection.execute(text("SHOW TimeZone")).scalar_one()
        behind.close()
    assert zone == "UTC"
    assert days(database) == [(LATE.date(), 2)]
    assert_equals_recount(database, FIRST_DAY)


def test_what_a_pooler_does_not_let_us_set_aside_is_named(database: Database) -> None:
    with (
        set_for(database, "DATABASE", {"quote_all_identifiers": "on"}),
        pooled(database.conninfo, "session") as address,
        pytest.raises(DatabaseError, match="Setting up a session: quote_all_identifiers is on"),
        Database.from_url(address).adbc(),
    ):
        pass


def test_a_pooler_in_transaction_mode_serves_tracker_and_api(database: Database, lake: str) -> None:
    give_prompts(database)
    with administrator(database) as owner:
        owner.execute("ALTER TABLE prompt_usage ALTER created_at TYPE timestamp")
    with (
        set_for(database, "DATABASE", BEHIND_A_POOLER),
        pooled(database.conninfo, "transaction") as address,
    ):
        for mode in MODES:
            track(address, mode, created_at=LATE, scene="café")
        refresh(at(database, lake))
        behind = Database.from_url(address)
        with served(behind) as client:
            event = {"eventId": str(uuid4()), "promptId": "portrait", "createdAt": LATE.isoformat()}
            assert client.post("/events", json=[event]).json() == {"taken": 1, "rejected": [], "warnings": []}
            for _ in range(10):
                # More often than the driver waits before it prepares a statement.
                assert client.get("/prompts/portrait/stats").json()["totalUsage"] == 2
                assert client.get("/prompts/portrait/scenes").status_code == 200
                assert client.get("/status").status_code == 200
        # What others find in the sessions that they share with us.
        with psycopg.connect(address, autocommit=True) as other:
            kept: dict[str, str] = dict(
                other.execute(
                    "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
                    [["row_security", "statement_timeout", "array_nulls", "default_transaction_read_only"]],
                ).fetchall()
            )
        behind.close()
    assert kept == {
        "row_security": "on",
        "statement_timeout": "20000",
        "array_nulls": "off",
        "default_transaction_read_only": "off",
    }
    refresh(at(database, lake))
    assert days(database) == [(LATE.date(), 3)]


def test_the_pipeline_refuses_a_pooler_in_transaction_mode(database: Database, lake: str) -> None:
    with pooled(database.conninfo, "transaction") as address:
        behind = Database.from_url(address)
        for attempt in (lambda: refresh(at(behind, lake)), lambda: schema.migrate(behind)):
            with pytest.raises(
                DatabaseError, match=r"pooler in transaction mode, .* or to a pooler in session mode"
            ):
                attempt()
        assert not any(row["usage_count"] for row in reading.top_prompts(at(behind, lake), 3)["prompts"])
        with report.reading(at(behind, lake)) as connection:
            assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "repeatable read"
            assert connection.execute(text("SHOW TimeZone")).scalar_one() == "UTC"
        behind.close()


@contextmanager
def encoded(server_url: str, new_database: NewDatabase, encoding: str) -> Iterator[Database]:
    """An empty database with that encoding, for a block."""
    with psycopg.connect(server_url, autocommit=True) as owner:
        template = f"in {encoding}"
        provider = "LOCALE_PROVIDER libc" if owner.info.server_version >= 150000 else ""
        owner.execute(
            f"CREATE DATABASE \"{template}\" ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            f" {provider} TEMPLATE template0".encode()
        )
        try:
            with new_database(template) as database:
                yield database
        finally:
            owner.execute(f'DROP DATABASE "{template}"'.encode())


def test_a_database_in_latin1_works(server_url: str, new_database: NewDatabase, lake: str) -> None:
    with encoded(server_url, new_database, "LATIN1") as database:
        schema.migrate(database)
        give_prompts(database)
        for mode in MODES:
            track(database.conninfo, mode, scene="café", error_message="naïve")
            track(database.conninfo, mode, scene="café 🎉")
            with PromptTracker(database.conninfo, mode=mode) as tracker:
                tracker.track_post_creation(prompt_id="fête 🎉", success=True)
                assert tracker.flush(20)
                assert tracker.stats().rejected == 1
        refresh(at(database, lake), values=True)
        with served(database) as client:
            event = {"eventId": str(uuid4()), "promptId": "portrait", "scene": "été ✨"}
            answer = client.post("/events", json=[event]).json()
            assert (answer["taken"], answer["rejected"]) == (1, [])
            [warning] = answer["warnings"]
            assert "lacks, and was written with escapes" in warning["warning"]
            scenes = client.get("/prompts/portrait/scenes").json()["scenes"]
        assert {scene["scene"]: scene["usageCount"] for scene in scenes} == {"café": 2, r"café \U0001f389": 2}
        refresh(at(database, lake))
        assert_equals_recount(database, FIRST_DAY)
        with administrator(database) as owner:
            rejected = owner.execute("SELECT payload ->> 'prompt_id' FROM prompt_usage_rejected").fetchall()
        assert rejected == [(r"fête \U0001f389",)] * 2


def test_what_an_encoding_lacks_is_said_of_the_event_that_has_it(
    server_url: str, new_database: NewDatabase
) -> None:
    with encoded(server_url, new_database, "LATIN1") as database:
        with administrator(database) as owner:
            owner.execute(
                "CREATE TABLE prompt_usage (id text PRIMARY KEY, prompt_id uuid NOT NULL, success boolean,"
                " created_at timestamptz DEFAULT now(), scene varchar(6))"
            )
        schema.migrate(database)
        give_prompts(database)
        with served(database) as client:
            unknown = {"eventId": "🎉", "promptId": "nobody's"}
            long = {"eventId": "✨", "promptId": "portrait", "scene": "beach house"}
            answer = client.post("/events", json=[unknown, long]).json()
            assert answer["taken"] == 1
            assert [(each["line"], each["eventId"]) for each in answer["rejected"]] == [(1, "🎉")]
            assert {each["eventId"] for each in answer["warnings"]} == {"✨"}
            for path in (
                "/prompts/🎉",
                "/prompts?search=🎉",
                "/users/🎉/prompts",
                "/prompts/top/usage?scene=🎉",
            ):
                answered = client.get(path)
                assert answered.status_code == 422, path
                assert "the database's encoding" in answered.json()["detail"]
        with administrator(database) as owner:
            assert owner.execute("SELECT scene FROM prompt_usage").fetchall() == [("beach~",)]


def test_a_database_without_an_encoding_is_refused(server_url: str, new_database: NewDatabase) -> None:
    with encoded(server_url, new_database, "SQL_ASCII") as database:
        with pytest.raises(DatabaseError, match=r"encoding is SQL_ASCII.* ENCODING 'UTF8'"):
            schema.migrate(database)
        with administrator(database) as owner:
            assert owner.execute("SELECT count(*) FROM pg_class WHERE relname = 'prompts'").fetchone() == (0,)
