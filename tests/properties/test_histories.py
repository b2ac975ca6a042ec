"""Random histories: whatever the app and the operator do in whatever order, the next refresh is true.

Steps are random; at each quiet point, when no transaction is open, every stats table equals the recount of
the raw rows, those that retention removed included: the machine keeps copies of them in a table of its own.
A second installation in the same database does the same, and neither touches what belongs to the other.
More steps on demand: ``pytest tests/properties --hypothesis-profile=thorough``.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.conninfo import conninfo_to_dict

from pipeline.adoption.schema import migrate
from pipeline.database.connections import Database
from pipeline.engines import rollups
from pipeline.engines.engine import Engine
from pipeline.errors import DatabaseError, SettingsError
from pipeline.installation import Installation
from pipeline.lake import partials, periods
from pipeline.lake.acceptance import accept_settings
from pipeline.lake.upkeep import keep_up, lake_tables
from pipeline.lake.usage_events import TABLE
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.refresh import plan_refresh, refresh
from tests.app import at
from tests.buckets import buckets
from tests.conftest import FIRST_DAY, NewDatabase
from tests.lake import open_to_write
from tests.lake_files import delete_files, scribble_on_files, truncate_files
from tests.neighbour import Neighbour, contents, make_tables, named
from tests.oracle import assert_equals_recount
from tests.roles import as_role
from tests.triggers import OFF, ON

NOW = dt.datetime.now(dt.UTC)
PROMPTS = [uuid.UUID(int=number) for number in range(1, 4)]
USERS = [uuid.UUID(int=number) for number in range(1001, 1004)]
AGES = st.one_of(st.none(), st.integers(-2, 12), st.sampled_from([-400, 5000]))
"""Days before now of an event; negative is in the future, none is undated."""

INSERT = """
    INSERT INTO prompt_usage (id, prompt_id, user_id, scene, success, generation_time_ms, created_at)
    VALUES (%(id)s, %(prompt)s, %(user)s, %(scene)s, %(success)s, %(time)s, %(at)s) ON CONFLICT DO NOTHING
"""

INSERT_USER = "INSERT INTO users (id, email) VALUES (%s, gen_random_uuid())"

FIRST_DAYS = (FIRST_DAY, FIRST_DAY - dt.timedelta(days=300), NOW.date() - dt.timedelta(days=5))
"""Those that the operator moves to: the one before, an earlier one, one after most events."""

REWRITES = (
    "VACUUM FULL prompt_usage",
    "ALTER TABLE prompt_usage ALTER generation_time_ms TYPE bigint",
    "ALTER TABLE prompt_usage ALTER generation_time_ms TYPE integer",
    "ALTER TABLE prompt_usage SET UNLOGGED; ALTER TABLE prompt_usage SET LOGGED",
)
DAY = "greatest(coalesce(created_at::date, (SELECT * FROM first_day)), (SELECT * FROM first_day))"
IS_EXPIRED = f"{DAY} IN (SELECT day FROM stats_expired_day)"
COPIED = (
    "id, prompt_id, user_id, scene, environment, outfit, success, generation_time_ms, error_message,"
    " created_at::timestamptz AS created_at"
)
FORGED = f"""
    INSERT INTO prompt_usage (id, prompt_id, scene, created_at, ingest_xid)
    SELECT id, prompt_id, scene, created_at, xid FROM (
        SELECT
            %(id)s::uuid AS id,
            %(prompt)s::uuid AS prompt_id,
            %(scene)s::text AS scene,
            %(at)s::timestamptz AS created_at,
            CASE %(xid)s
                WHEN 'NULL' THEN NULL
                WHEN 'old' THEN 3
                WHEN 'soon' THEN pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 9
                ELSE 10^12
            END AS xid
    ) AS forged
    WHERE NOT ({IS_EXPIRED}) ON CONFLICT DO NOTHING
"""
# What the lake alone has: the copies are made at the moment when the lake has taken the rows.
COUNTED_ROWS = f"""
    CREATE VIEW counted_rows AS
    SELECT {COPIED} FROM prompt_usage WHERE NOT ({IS_EXPIRED}) UNION ALL SELECT {COPIED} FROM expired_rows
"""
CREATE_COPIES = f"""
    CREATE TABLE first_day AS SELECT DATE '{FIRST_DAY}' AS day;
    CREATE TABLE expired_rows AS SELECT {COPIED}, CURRENT_DATE AS day FROM prompt_usage;
    CREATE UNIQUE INDEX ON expired_rows (id, day);
    {COUNTED_ROWS}
"""
COPY_TAKEN = f"""
    INSERT INTO expired_rows SELECT {COPIED}, {DAY} FROM prompt_usage
    WHERE coalesce(ingest_xid, 0) < (SELECT high FROM stats_expired_day WHERE day = {DAY})
    ON CONFLICT DO NOTHING
"""
COPY_ALL = f"INSERT INTO expired_rows SELECT {COPIED}, {DAY} FROM prompt_usage ON CONFLICT DO NOTHING"
FORGET_KEPT = "DELETE FROM expired_rows WHERE day NOT IN (SELECT day FROM stats_expired_day)"

EVENT = st.fixed_dictionaries(
    {
        "id": st.one_of(st.uuids(), st.integers(1, 20).map(lambda number: uuid.UUID(int=number))),
        "prompt": st.sampled_from(PROMPTS),
        "user": st.sampled_from([None, *USERS]),
        "scene": st.sampled_from([None, "", "studio"]),
        "success": st.sampled_from([True, False, None]),
        "time": st.one_of(st.none(), st.integers(0, 60_000)),
        "at": AGES.map(lambda age: None if age is None else NOW - dt.timedelta(days=age)),
    }
)
HARMS = [delete_files, truncate_files, scribble_on_files]
DAMAGED = [TABLE, partials.USAGE.daily, partials.USERS.monthly, partials.USAGE.total]
EVENTS = st.lists(EVENT, min_size=1, max_size=5)


class History(RuleBasedStateMachine):
    """An app, an operator and a pipeline on one database and one lake; and a neighbour in that database."""

    fresh_database: ClassVar[Callable[[str], AbstractContextManager[Database]]]
    templates: ClassVar[tuple[str, str]]
    new_lake: ClassVar[Callable[[], AbstractContextManager[str]]] = tempfile.TemporaryDirectory

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.slow: psycopg.Connection[Any] | None = None
        self.first_day = FIRST_DAY
        self.are_triggers_on = True

    @property
    def installation(self) -> Installation:
        """What the steps work on."""
        return at(self.database, self.lake, self.first_day)

    @initialize(is_adopted=st.booleans())
    def the_app_begins(self, *, is_adopted: bool) -> None:
        """With its prompts, on tables of our own or of its own."""
        self.is_adopted = is_adopted
        self.database: Database = self.open.enter_context(
            type(self).fresh_database(type(self).templates[is_adopted])
        )
        comparing = replace(self.database, write_back=False)
        self.open.callback(comparing.close)
        self.others = {True: self.database, False: comparing}
        self.left: list[Any] = []
        self.patch = self.open.enter_context(pytest.MonkeyPatch.context())
        self.lake = self.open.enter_context(type(self).new_lake())
        self.app = self.open.enter_context(psycopg.connect(self.database.conninfo, autocommit=True))
        insert = "INSERT INTO prompts (id, name, template) VALUES (%s, 'name', 'template')"
        self.app.cursor().executemany(insert, [(prompt,) for prompt in PROMPTS])
        if is_adopted:
            self.app.cursor().executemany(INSERT_USER, [(user,) for user in USERS])
        self.app.execute(CREATE_COPIES.encode())
        self.as_pipeline = self.open.enter_context(as_role(self.database, "pipeline"))
        other_lake = self.open.enter_context(tempfile.TemporaryDirectory())
        self.neighbour = Neighbour(self.database.conninfo, other_lake, PROMPTS, USERS)
        self.open.callback(self.neighbour.close)
        self.neighbours = contents(self.neighbour.app, "shop")

    @rule(events=st.sampled_from([0, 10, periods.UNSETTLED_EVENTS]))
    def months_of_users_are_made_from(self, events: int) -> None:
        """From so many events on."""
        self.patch.setattr(periods, "UNSETTLED_EVENTS", events)

    @rule(events=EVENTS, does=st.sampled_from(["nothing", "refresh", "reconcile", "retain"]))
    def the_neighbour_appends(self, events: list[dict[str, Any]], does: str) -> None:
        """And its operator does something."""
        self.neighbour.append(events)
        self.the_neighbour_does(does)

    @rule(user=st.sampled_from(USERS))
    def the_neighbour_erases(self, user: uuid.UUID) -> None:
        """The same person stays with this app."""
        self.the_neighbour_does("erase", user)

    def the_neighbour_does(self, what: str, *values: Any) -> None:
        """One of its operator's commands; nothing of ours changes."""
        before = contents(self.app, "public")
        # A writer of this app delays the neighbour's watermark, and with it these two.
        if what not in ("erase", "retain") or self.slow is None:
            getattr(self.neighbour, what, lambda: None)(*values)
        assert contents(self.app, "public") == before
        self.neighbours = contents(self.neighbour.app, "shop")

    @invariant()
    def the_neighbour_is_left_alone(self) -> None:
        """Whatever we did, no row of its tables changed."""
        assert contents(self.neighbour.app, "shop") == self.neighbours

    @rule(events=EVENTS)
    def append(self, events: list[dict[str, Any]]) -> None:
        """Each in a transaction of its own; some ids come twice."""
        self.app.cursor().executemany(INSERT, events)

    @precondition(lambda self: self.slow is None)
    @rule(events=EVENTS)
    def open_transaction(self, events: list[dict[str, Any]]) -> None:
        """A writer that has not committed yet."""
        self.slow = psycopg.connect(self.database.conninfo)
        self.slow.cursor().executemany(INSERT, [{**event, "id": uuid.uuid4()} for event in events])

    @precondition(lambda self: self.slow is not None)
    @rule(commits=st.booleans())
    def end_transaction(self, *, commits: bool) -> None:
        """It commits, or rolls back."""
        assert self.slow
        self.slow.commit() if commits else self.slow.rollback()
        self.slow.close()
        self.slow = None

    # A writer that has not committed keeps its user from being deleted, where there are foreign keys.
    @precondition(lambda self: self.slow is None or not self.is_adopted)
    @rule(user=st.sampled_from(USERS))
    def delete_user(self, user: uuid.UUID) -> None:
        """The app deletes a user; with foreign keys, all that was the user's goes too."""
        if self.is_adopted:
            self.change("DELETE FROM users WHERE id = %s", (user,))
            self.app.execute(INSERT_USER, (user,))
        else:
            self.change("DELETE FROM prompt_usage WHERE user_id = %s", (user,))

    @rule(age=st.integers(0, 12))
    def delete_day(self, age: int) -> None:
        """All of a day goes."""
        self.change("DELETE FROM prompt_usage WHERE created_at::date = %s", (NOW.date() - dt.timedelta(age),))

    @rule(scene=st.sampled_from(["", "studio"]), days=st.integers(-3, 3))
    def move(self, scene: str, days: int) -> None:
        """Rows change, and go to another day; but for those that the lake alone speaks for."""
        self.change(
            "UPDATE prompt_usage SET created_at = created_at + %s, success = true WHERE scene = %s"
            f" AND NOT ({IS_EXPIRED})",
            (dt.timedelta(days=days), scene),
        )

    @precondition(lambda self: self.slow is None)
    @rule()
    def truncate(self) -> None:
        """Everything goes."""
        self.change("TRUNCATE prompt_usage")

    def change(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        """A change of raw rows; those that the lake alone speaks for by now are copied first."""
        self.app.execute(COPY_TAKEN.encode())
        self.app.execute(statement.encode(), values)

    @rule(prompt=st.sampled_from(PROMPTS), user=st.sampled_from(USERS))
    def favour(self, prompt: uuid.UUID, user: uuid.UUID) -> None:
        """A user adds a favourite."""
        self.app.execute(
            "INSERT INTO prompt_favorites (prompt_id, user_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (prompt, user),
        )

    @rule(prompt=st.sampled_from(PROMPTS), uses=st.integers(0, 9), favorites=st.integers(0, 3))
    def count_alone(self, prompt: uuid.UUID, uses: int, favorites: int) -> None:
        """The app still keeps counters of its own, and wrong ones."""
        self.app.execute(
            "UPDATE prompts SET usage_count = %s, success_count = usage_count, favorite_count = %s"
            " WHERE id = %s",
            (uses, favorites, prompt),
        )
        self.left = self.prompts()

    @rule()
    def switch_write_back(self) -> None:
        """The team looks first, or has seen enough."""
        self.database = self.others[not self.database.write_back]
        self.left = self.prompts()

    def prompts(self) -> list[Any]:
        """The rows of prompts, and where and by whom they were written."""
        return self.app.execute("SELECT ctid, xmin, prompts.* FROM prompts ORDER BY id").fetchall()

    @invariant()
    def without_write_back_prompts_is_left_alone(self) -> None:
        """Not a byte of it is touched."""
        if not self.database.write_back:
            assert self.prompts() == self.left

    @rule(users=st.booleans())
    def refresh(self, *, users: bool) -> None:
        """The schedule ticks; every hour with the stats of users."""
        refresh(self.installation, users=users)

    @precondition(lambda self: self.slow is None)
    @rule()
    def reconcile(self) -> None:
        """The night: nothing that a refresh left behind is wrong."""
        refresh(self.installation)
        report = reconcile(self.installation)
        assert (report.repaired, report.rebuilt, report.lost, report.rows_corrected) == ({}, {}, {}, {})

    @rule(day=st.integers(0, 12))
    def lose_partition(self, day: int) -> None:
        """Somebody tidies up the lake; the night puts it right."""
        lost = NOW.date() - dt.timedelta(day)
        expired = {row[0] for row in self.app.execute("SELECT day FROM stats_expired_day")}
        table = open_to_write(self.database, self.lake)
        if lost in set(table.days()["day"]) - expired:
            table.replace([lost], table.schema.empty_table())
            reconcile(self.installation)

    @precondition(lambda self: self.slow is None)
    @rule(event=EVENT, xid=st.sampled_from(["NULL", "old", "soon", "to come"]))
    def forge(self, event: dict[str, Any], xid: str) -> None:
        """A row with an id of somebody else's, where no trigger sees it; none of a day that expired."""
        forged = {**event, "xid": xid}
        if self.are_triggers_on:
            self.app.execute(OFF)
        self.app.execute(FORGED.encode(), forged)
        if self.are_triggers_on:
            self.app.execute(ON)

    @rule(xid=st.sampled_from(["NULL", "3", "10^12"]), scene=st.sampled_from(["", "studio"]))
    def forge_by_update(self, xid: str, scene: str) -> None:
        """Somebody writes the column."""
        self.change(
            f"UPDATE prompt_usage SET ingest_xid = {xid} WHERE scene = %s AND NOT ({IS_EXPIRED})", (scene,)
        )

    @precondition(lambda self: self.slow is None)
    @rule()
    def switch_triggers(self) -> None:
        """They are off, until somebody switches them on again."""
        self.app.execute((OFF if self.are_triggers_on else ON).encode())
        self.are_triggers_on = not self.are_triggers_on

    @precondition(lambda self: self.slow is None)
    @rule(rewrite=st.sampled_from(REWRITES))
    def rewrite_table(self, rewrite: str) -> None:
        """The table's file is another one, with the same rows."""
        self.app.execute("DROP VIEW counted_rows")
        for statement in rewrite.split(";"):
            self.app.execute(statement.encode())
        self.app.execute(COUNTED_ROWS.encode())

    @precondition(lambda self: self.slow is None)
    @rule()
    def hide_rows(self) -> None:
        """Row level security applies to the pipeline for a while: nothing is published."""
        before = self.published()
        self.app.execute("ALTER TABLE prompt_usage ENABLE ROW LEVEL SECURITY")
        for step in (plan_refresh, refresh, reconcile):
            with pytest.raises(DatabaseError, match="row level security"):
                step(at(self.as_pipeline, self.lake, self.first_day))
        self.app.execute("ALTER TABLE prompt_usage DISABLE ROW LEVEL SECURITY")
        assert self.published() == before

    @rule(day=st.sampled_from(FIRST_DAYS))
    def move_first_day(self, day: dt.date) -> None:
        """One shell has another first day; then all, unless retention stands in the way."""
        before = self.published()
        if day != self.first_day and self.app.execute("SELECT 1 FROM stats_source").fetchone():
            with pytest.raises(SettingsError, match="accept-settings"):
                refresh(at(self.database, self.lake, day))
        if not self.app.execute("SELECT 1 FROM stats_expired_day").fetchone():
            accept_settings(at(self.database, self.lake, day))
            self.first_day = day
            self.app.execute("UPDATE first_day SET day = %s", (day,))
        assert self.published() == before

    def published(self) -> list[Any]:
        """What was published when, and what it counts."""
        return self.app.execute(
            "SELECT (SELECT max(id) FROM stats_refresh), jsonb_agg(to_jsonb(stats) ORDER BY prompt_id)"
            " FROM prompt_stats AS stats"
        ).fetchall()

    @rule()
    def keep_up(self) -> None:
        """Small files are joined, old ones deleted."""
        keep_up(self.installation)

    @precondition(lambda self: self.slow is None)
    @rule(days=st.integers(1, 12))
    def retain(self, days: int) -> None:
        """Raw rows expire."""
        refresh(self.installation)
        self.app.execute(COPY_TAKEN.encode())
        self.app.execute(COPY_ALL.encode())
        assert retain(self.installation, days).kept == {}
        self.app.execute(FORGET_KEPT.encode())

    @precondition(lambda self: self.slow is None)
    @rule(user=st.sampled_from(USERS))
    def erase(self, user: uuid.UUID) -> None:
        """A person asks to be forgotten."""
        self.app.execute(COPY_TAKEN.encode())
        self.app.execute("DELETE FROM expired_rows WHERE user_id = %s", (user,))
        assert erase_user(self.installation, str(user)).found == {}

    @precondition(lambda self: self.slow is None)
    @rule(user=st.sampled_from(USERS), late=EVENTS, users=st.booleans())
    def erase_twice(self, user: uuid.UUID, late: list[dict[str, Any]], *, users: bool) -> None:
        """Events come late in between, some of the same person and some of days that the lake alone has."""
        self.erase(user)
        self.append(late)
        if users:
            refresh(self.installation, users=users)
        self.erase(user)
        refresh(self.installation)
        left = self.app.execute("SELECT count(*) FROM user_prompt_stats WHERE user_id = %s", (user,))
        assert left.fetchone() == (0,)

    @precondition(lambda self: self.slow is None)
    @rule(table=st.sampled_from(DAMAGED), harm=st.sampled_from(HARMS))
    def damage(self, table: str, harm: Callable[[str, str, dt.date], None]) -> None:
        """A disk loses a day that Postgres has, or something that is made of it."""
        expired = {row[0] for row in self.app.execute("SELECT day FROM stats_expired_day")}
        [held] = [each.days()["day"] for each in lake_tables(self.lake) if each.name == table]
        for day in sorted(set(held) - expired)[:1]:
            harm(self.lake, table, day)
            # What only reading shows, of a day that nobody reads, is found at night.
            mend = reconcile if harm is scribble_on_files else refresh
            mend(self.installation)

    @rule(first=st.integers(0, 12), length=st.integers(1, 5), replace=st.booleans())
    def refresh_some_days(self, first: int, length: int, *, replace: bool) -> None:
        """A backfill, or a run over one of several ranges."""
        days = [NOW.date() - dt.timedelta(days=first - number) for number in range(length)]
        refresh(self.installation, days, replace=replace)

    @precondition(lambda self: self.slow is None)
    @rule()
    def look(self) -> None:
        """A quiet point: after a refresh all is true, and nothing is left to do."""
        report = refresh(self.installation, values=True)
        self.app.execute(COPY_TAKEN.encode())
        assert_equals_recount(self.database, self.first_day, "counted_rows")
        assert report.pending_days == []
        assert plan_refresh(self.installation).days == []

    @invariant()
    def as_of_never_goes_back(self) -> None:
        """What was once promised stays promised."""
        row = self.app.execute(
            "SELECT bool_and(as_of >= before) FROM"
            " (SELECT as_of, lag(as_of) OVER (ORDER BY id) AS before FROM stats_refresh) AS history"
        ).fetchone()
        assert row
        assert row[0] is not False

    def teardown(self) -> None:
        """Ends what is open, looks once more, and cleans up."""
        try:
            if self.slow:
                self.end_transaction(commits=True)
            self.look()
            self.the_neighbour_does("look")
        finally:
            if self.slow:
                self.slow.close()
            self.open.close()


@contextmanager
def beside_a_neighbour(new_database: NewDatabase, template: str) -> Iterator[str]:
    """The name of a copy of a database in which a second app was adopted, to be copied."""
    with new_database(template) as database:
        make_tables(database.conninfo)
        neighbour = named(database.conninfo)
        migrate(neighbour)
        neighbour.close()
        database.close()
        yield str(conninfo_to_dict(database.conninfo)["dbname"])


@pytest.fixture
def templates(
    new_database: NewDatabase, migrated_template: str, adopted_template: str
) -> Iterator[tuple[str, str]]:
    """The names of databases with tables of our own and with an app's, both beside a neighbour."""
    with (
        beside_a_neighbour(new_database, migrated_template) as own,
        beside_a_neighbour(new_database, adopted_template) as adopted,
    ):
        yield own, adopted


def run_histories(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    templates: tuple[str, str],
    examples: int,
    steps: int,
    new_lake: Callable[[], AbstractContextManager[str]] | None = None,
) -> None:
    """Goes through so many of them, or through many more on demand. ``new_lake``: where, if in no folder."""

    class TestedHistory(History):
        """The machine on this session's server."""

    TestedHistory.fresh_database = new_database
    TestedHistory.templates = templates
    if new_lake:
        TestedHistory.new_lake = staticmethod(new_lake)
    thorough = request.config.getoption("--hypothesis-profile") == "thorough"
    run_state_machine_as_test(
        TestedHistory,
        settings=settings(
            max_examples=100 if thorough else examples,
            stateful_step_count=50 if thorough else steps,
            deadline=None,
            # A step takes up to a second, and shrinking hundreds: the log of the first failure has to do.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_histories(
    request: pytest.FixtureRequest, new_database: NewDatabase, templates: tuple[str, str]
) -> None:
    run_histories(request, new_database, templates, examples=6, steps=30)


def test_a_history_on_spark(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    templates: tuple[str, str],
    spark_engine: Engine,
) -> None:
    with rollups.using(spark_engine):
        run_histories(request, new_database, templates, examples=1, steps=5)


def test_a_history_with_the_lake_in_a_bucket(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    templates: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def new_lake() -> AbstractContextManager[str]:
        return nullcontext(f"s3://lakes/{uuid.uuid4().hex}")

    with buckets() as store:
        for name, value in store.variables.items():
            monkeypatch.setenv(name, value)
        run_histories(request, new_database, templates, examples=1, steps=6, new_lake=new_lake)
