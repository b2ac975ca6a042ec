"""Random histories: whatever the app and the operator do in whatever order, the next refresh is true.

Steps are random; at each quiet point, when no transaction is open, every stats table equals the recount of
the raw rows, those that retention removed included: the machine keeps copies of them in a table of its own.
More steps on demand: ``pytest tests/properties --hypothesis-profile=thorough``.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
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

from pipeline.database import Database
from pipeline.erasure import erase_user
from pipeline.lake.upkeep import keep_up
from pipeline.reconcile import reconcile
from pipeline.refresh import plan_refresh, refresh
from pipeline.retention import retain
from tests.conftest import FIRST_DAY, NewDatabase
from tests.lake import open_to_write
from tests.oracle import assert_equals_recount

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

DAY = "greatest(coalesce(created_at::date, {first}), {first})".format(first=f"DATE '{FIRST_DAY}'")
IS_EXPIRED = f"{DAY} IN (SELECT day FROM stats_expired_day)"
COPIED = (
    "id, prompt_id, user_id, scene, environment, outfit, success, generation_time_ms, error_message,"
    " created_at::timestamptz AS created_at"
)
# What the lake alone has: the copies are made at the moment when the lake has taken the rows.
CREATE_COPIES = f"""
    CREATE TABLE expired_rows AS SELECT {COPIED}, CURRENT_DATE AS day FROM prompt_usage;
    CREATE UNIQUE INDEX ON expired_rows (id, day);
    CREATE VIEW counted_rows AS
    SELECT {COPIED} FROM prompt_usage WHERE NOT ({IS_EXPIRED}) UNION ALL SELECT {COPIED} FROM expired_rows
"""
COPY_TAKEN = f"""
    INSERT INTO expired_rows SELECT {COPIED}, {DAY} FROM prompt_usage
    WHERE ingest_xid < (SELECT high FROM stats_expired_day WHERE day = {DAY}) ON CONFLICT DO NOTHING
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
EVENTS = st.lists(EVENT, min_size=1, max_size=5)


class History(RuleBasedStateMachine):
    """An app, an operator and a pipeline on one database and one lake."""

    fresh_database: ClassVar[Callable[[str], AbstractContextManager[Database]]]
    templates: ClassVar[tuple[str, str]]

    def __init__(self) -> None:
        super().__init__()
        self.open = ExitStack()
        self.slow: psycopg.Connection[Any] | None = None

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
        self.lake = self.open.enter_context(tempfile.TemporaryDirectory())
        self.app = self.open.enter_context(psycopg.connect(self.database.conninfo, autocommit=True))
        insert = "INSERT INTO prompts (id, name, template) VALUES (%s, 'name', 'template')"
        self.app.cursor().executemany(insert, [(prompt,) for prompt in PROMPTS])
        if is_adopted:
            self.app.cursor().executemany(INSERT_USER, [(user,) for user in USERS])
        self.app.execute(CREATE_COPIES.encode())

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
        refresh(self.database, self.lake, FIRST_DAY, users=users)

    @precondition(lambda self: self.slow is None)
    @rule()
    def reconcile(self) -> None:
        """The night: nothing that a refresh left behind is wrong."""
        refresh(self.database, self.lake, FIRST_DAY)
        report = reconcile(self.database, self.lake, FIRST_DAY)
        assert (report.repaired, report.rebuilt, report.lost, report.rows_corrected) == ({}, {}, {}, {})

    @rule(day=st.integers(0, 12))
    def lose_partition(self, day: int) -> None:
        """Somebody tidies up the lake; the night puts it right."""
        lost = NOW.date() - dt.timedelta(day)
        expired = {row[0] for row in self.app.execute("SELECT day FROM stats_expired_day")}
        table = open_to_write(self.database, self.lake)
        if lost in set(table.days()["day"]) - expired:
            table.replace([lost], table.schema.empty_table())
            reconcile(self.database, self.lake, FIRST_DAY)

    @rule()
    def keep_up(self) -> None:
        """Small files are joined, old ones deleted."""
        keep_up(self.database, self.lake)

    @precondition(lambda self: self.slow is None)
    @rule(days=st.integers(1, 12))
    def retain(self, days: int) -> None:
        """Raw rows expire."""
        refresh(self.database, self.lake, FIRST_DAY)
        self.app.execute(COPY_TAKEN.encode())
        self.app.execute(COPY_ALL.encode())
        assert retain(self.database, self.lake, FIRST_DAY, days).kept == {}
        self.app.execute(FORGET_KEPT.encode())

    @precondition(lambda self: self.slow is None)
    @rule(user=st.sampled_from(USERS))
    def erase(self, user: uuid.UUID) -> None:
        """A person asks to be forgotten."""
        self.app.execute(COPY_TAKEN.encode())
        self.app.execute("DELETE FROM expired_rows WHERE user_id = %s", (user,))
        assert erase_user(self.database, self.lake, FIRST_DAY, str(user)).found == {}

    @rule(first=st.integers(0, 12), length=st.integers(1, 5), replace=st.booleans())
    def refresh_some_days(self, first: int, length: int, *, replace: bool) -> None:
        """A backfill, or a run over one of several ranges."""
        days = [NOW.date() - dt.timedelta(days=first - number) for number in range(length)]
        refresh(self.database, self.lake, FIRST_DAY, days, replace=replace)

    @precondition(lambda self: self.slow is None)
    @rule()
    def look(self) -> None:
        """A quiet point: after a refresh all is true, and nothing is left to do."""
        report = refresh(self.database, self.lake, FIRST_DAY, values=True)
        self.app.execute(COPY_TAKEN.encode())
        assert_equals_recount(self.database, FIRST_DAY, "counted_rows")
        assert report.pending_days == []
        assert plan_refresh(self.database, self.lake, FIRST_DAY).days == []

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
        finally:
            if self.slow:
                self.slow.close()
            self.open.close()


@pytest.mark.parametrize("examples", [6])
def test_histories(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    migrated_template: str,
    adopted_template: str,
    examples: int,
) -> None:
    class TestedHistory(History):
        """The machine on this session's server."""

    TestedHistory.fresh_database = new_database
    TestedHistory.templates = (migrated_template, adopted_template)
    thorough = request.config.getoption("--hypothesis-profile") == "thorough"
    run_state_machine_as_test(
        TestedHistory,
        settings=settings(
            max_examples=100 if thorough else examples,
            stateful_step_count=50 if thorough else 30,
            deadline=None,
            # A step takes up to a second, and shrinking hundreds: the log of the first failure has to do.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
