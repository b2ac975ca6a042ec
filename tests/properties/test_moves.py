"""Random moves of the database: put back, cloned, copied, promoted. The next refresh is true, or refused.

The lake stays where it is, as it does when an operator restores a server. At each quiet point every stats
table equals the recount of the rows that the database has, and of those that the lake alone has for it. Each
step starts and stops servers, so few are made unless asked: ``--hypothesis-profile=thorough``.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.conninfo import make_conninfo

from pipeline.database.connections import Database
from pipeline.errors import LakeOwnerError
from pipeline.installation import Installation
from pipeline.lake.usage_events import claim_lake
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.refresh import refresh
from tests.app import at
from tests.clusters import copy_of_cluster, running_cluster
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount

KEPT_DAYS = 3
COLUMNS = """
    id, prompt_id, user_id, scene, environment, outfit, success, generation_time_ms, error_message, created_at
"""
APPEND = """
    INSERT INTO prompt_usage (prompt_id, user_id, success, generation_time_ms, created_at)
    SELECT '00000000-0000-4000-8000-000000000007', gen_random_uuid(), mod(number, 3) > 0, number * 100,
           now() - %s * interval '1 day'
    FROM generate_series(1, %s) AS number
"""
COUNTED_ROWS = f"""
    CREATE TABLE expired_rows AS SELECT {COLUMNS} FROM prompt_usage WHERE false;
    CREATE VIEW counted_rows AS
    SELECT {COLUMNS} FROM prompt_usage
    UNION SELECT {COLUMNS} FROM expired_rows
"""
OF_EXPIRED_DAYS = f"""
    SELECT created_at::date, {COLUMNS} FROM prompt_usage
    WHERE created_at::date IN (SELECT day FROM stats_expired_day)
"""
SIZES = st.integers(1, 4)
AGES = st.sampled_from([0, 1, KEPT_DAYS, 9])


class Moves(RuleBasedStateMachine):
    """One app, one lake, and an operator who moves the database about."""

    folder: ClassVar[Path]

    @property
    def installation(self) -> Installation:
        """What the steps work on."""
        return at(self.database, self.lake)

    @initialize()
    def the_app_begins(self) -> None:
        """On a server of its own."""
        self.open = ExitStack()
        self.root = Path(self.open.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
        self.root.chmod(0o711)
        self.lake = str(self.root / "lake")
        self.cluster = self.open.enter_context(running_cluster(self.root))
        self.database = self.cluster.database()
        self.backups: list[Path] = []
        self.copies = 0
        self.in_lake_alone: dict[dt.date, dict[Any, tuple[Any, ...]]] = {}
        self.execute(COUNTED_ROWS)

    def execute(self, statement: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """The rows that a statement returns."""
        with psycopg.connect(self.database.conninfo, autocommit=True) as operator:
            cursor = operator.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    @rule(events=SIZES, age=AGES)
    def append(self, events: int, age: int) -> None:
        """The app goes on."""
        self.execute(APPEND, (age, events))

    @rule(age=AGES)
    def refresh(self, age: int) -> None:
        """The schedule ticks, after some events."""
        self.append(1, age)
        self.settled(lambda: refresh(self.installation))

    @rule()
    def reconcile(self) -> None:
        """The night comes first."""
        self.settled(lambda: reconcile(self.installation))

    @rule()
    def retain(self) -> None:
        """Raw rows expire."""
        self.settled(lambda: refresh(self.installation))
        before = self.execute(f"SELECT created_at::date, {COLUMNS} FROM prompt_usage")
        retain(self.installation, KEPT_DAYS)
        self.note(before)

    @rule()
    def keep(self) -> None:
        """A backup is made of the data folder."""
        self.backups.append(self.root / f"backup{len(self.backups)}")
        self.database.close()
        self.cluster.keep(self.backups[-1])

    @precondition(lambda self: self.backups)
    @rule(data=st.data(), events=SIZES)
    def put_back(self, data: st.DataObject, events: int) -> None:
        """The data folder is replaced by a backup; the app goes on, with ids that were given before."""
        self.database.close()
        self.cluster.put_back(data.draw(st.sampled_from(self.backups)))
        self.append(events, 0)

    @rule(events=SIZES, loses=st.booleans(), refreshes=st.booleans())
    def fail_over(self, events: int, *, loses: bool, refreshes: bool) -> None:
        """The primary dies and a standby takes over, with or without the last transactions."""
        standby = self.open.enter_context(self.copied(is_standby=True))
        standby.catch_up_with(self.cluster)
        if loses:
            standby.stop_following()
        self.append(events, 0)
        if refreshes:
            self.settled(lambda: refresh(self.installation))
        if loses:
            standby.crash()
            standby.start()
        else:
            standby.catch_up_with(self.cluster)
        self.database.close()
        self.cluster.crash()
        standby.promote()
        # A backup of the former primary belongs to a folder that is gone.
        self.cluster, self.database, self.backups = standby, standby.database(), []

    @rule(events=SIZES)
    def copy(self, events: int) -> None:
        """A copy of the server refreshes into the same lake: the second of the two that writes stops it."""
        self.refresh(0)
        with self.copied(is_standby=False) as server:
            copy = server.database()
            with psycopg.connect(copy.conninfo) as app:
                app.execute(APPEND, (0, events))
            refresh(at(copy, self.lake))
            self.append(1, 0)
            self.settled(lambda: refresh(self.installation))
            with pytest.raises(LakeOwnerError):
                refresh(at(copy, self.lake))
            copy.close()

    @rule()
    def clone(self) -> None:
        """A copy of the database, made by SQL, may not touch the lake."""
        # An empty lake is nobody's.
        self.refresh(0)
        self.database.close()
        conninfo = self.database.conninfo
        maintenance = make_conninfo(conninfo, dbname="postgres")
        name = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
        with psycopg.connect(maintenance, autocommit=True) as operator:
            operator.execute(f'CREATE DATABASE clone TEMPLATE "{name}"'.encode())
            clone = Database.from_url(make_conninfo(conninfo, dbname="clone"))
            for step in (refresh, reconcile):
                with pytest.raises(LakeOwnerError):
                    step(at(clone, self.lake))
            clone.close()
            operator.execute("DROP DATABASE clone WITH (FORCE)")

    def copied(self, *, is_standby: bool) -> Any:
        """A copy of the running server."""
        self.copies += 1
        return copy_of_cluster(self.cluster, self.root / f"copy{self.copies}", is_standby=is_standby)

    def settled(self, step: Any) -> None:
        """Does something. If it is refused nothing was published, and the operator does what is said."""
        before = self.published()
        try:
            step()
        except LakeOwnerError:
            assert self.published() == before
            # The expired days of a backup were in a lake that was emptied for an older backup.
            self.execute("DELETE FROM stats_expired_day")
            claim_lake(self.installation, discard=True)
            refresh(self.installation)
        self.note(self.execute(OF_EXPIRED_DAYS))

    def note(self, rows: list[tuple[Any, ...]]) -> None:
        """Remembers the rows of the expired days, which the lake has."""
        expired = {row[0] for row in self.execute("SELECT day FROM stats_expired_day")}
        self.in_lake_alone = {day: self.in_lake_alone.get(day, {}) for day in expired}
        for day, *row in rows:
            if day in expired:
                self.in_lake_alone[day][row[0]] = tuple(row)

    def published(self) -> list[tuple[Any, ...]]:
        """What the published stats count."""
        return self.execute("SELECT prompt_id, usage_count, success_count FROM prompt_stats ORDER BY 1")

    def teardown(self) -> None:
        """A quiet point: all is true, and stops the servers."""
        try:
            self.settled(lambda: refresh(self.installation, values=True))
            rows = [row for rows in self.in_lake_alone.values() for row in rows.values()]
            with psycopg.connect(self.database.conninfo) as operator:
                operator.execute("TRUNCATE expired_rows")
                operator.cursor().executemany(
                    f"INSERT INTO expired_rows VALUES ({', '.join(['%s'] * 10)})".encode(), rows
                )
            assert_equals_recount(self.database, FIRST_DAY, "counted_rows")
        finally:
            self.database.close()
            self.open.close()


def test_moves(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    class TestedMoves(Moves):
        """The machine in this test's folder."""

    tmp_path.chmod(0o711)
    TestedMoves.folder = tmp_path
    thorough = request.config.getoption("--hypothesis-profile") == "thorough"
    run_state_machine_as_test(
        TestedMoves,
        settings=settings(
            max_examples=40 if thorough else 1,
            stateful_step_count=15 if thorough else 8,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
