"""Faults in the middle of the work: kills, lost connections, a database that restarts, a full disk.

After each, readers see the stats of one refresh or of the one before, and the next plain refresh leaves
nothing wrong and nothing to do. Every step of every scenario, and many more kills, on demand:
``pytest tests/integration/test_faults.py --hypothesis-profile=thorough``.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from pipeline.adoption import schema
from pipeline.database.connections import Database
from pipeline.database.embedded import client
from pipeline.days import ONE_DAY
from pipeline.installation import Installation
from pipeline.maintenance.erasure import erase_user
from pipeline.refresh import plan_refresh, refresh
from tests.app import at
from tests.buckets import buckets
from tests.conftest import FIRST_DAY, NewDatabase
from tests.faults import (
    DATABASE_RESTARTED,
    DATABASE_STOPPED,
    DISK_FULL,
    DISK_NEARLY_FULL,
    ENDLESS,
    ERASURE,
    KILLED_AFTER,
    KILLED_AT_FILE,
    KILLED_AT_SECOND,
    KILLED_BEFORE,
    LAKE_COMMITS,
    LEAVER,
    LOCK_LOST,
    NEXT_EVENTS,
    READER_LOST,
    REFRESH,
    RETENTION,
    SCENARIOS,
    SESSIONS_ENDED,
    Children,
    Outcome,
)
from tests.oracle import PUBLISHED, assert_equals_recount

PROMPTS = [uuid.UUID(int=number) for number in range(1, 5)]
USERS = [LEAVER, *(uuid.UUID(int=number) for number in range(1002, 1006))]

OURS, AN_APPS, IN_A_BUCKET = "our tables", "an app's tables", "our tables, with the lake in a bucket"

# What the app did, whatever the pipeline makes of it; retention removes nothing here.
EVERYTHING = "everything"
CREATE = f"CREATE TABLE {EVERYTHING} (LIKE prompt_usage)"
APPEND = f"""
    WITH new AS (
        INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, created_at)
        SELECT %s, %s, %s, %s, %s, %s FROM generate_series(1, %s) RETURNING *
    )
    INSERT INTO {EVERYTHING} SELECT * FROM new
"""
# Of expired days the lake alone speaks: to delete their raw rows has no effect.
DELETE = f"""
    WITH gone AS (
        DELETE FROM prompt_usage WHERE id IN (
            SELECT id FROM prompt_usage
            WHERE greatest(coalesce(created_at::date, %(first)s), %(first)s) NOT IN (
                SELECT day FROM stats_expired_day
            )
            ORDER BY random() LIMIT %(most)s
        ) RETURNING id
    )
    DELETE FROM {EVERYTHING} WHERE id IN (SELECT id FROM gone)
"""
FAVOUR = "INSERT INTO prompt_favorites (prompt_id, user_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"

# Every event has a prompt and a user here, so every table counts every event. The stats of users may lag
# behind, and say so.
LATEST = "(SELECT max(id) FROM stats_refresh)"
TOTALS = f"""
    SELECT 'stats_refresh', usage_count, NULL::bigint FROM stats_refresh WHERE id = {LATEST}
    UNION ALL SELECT 'stats_day', sum(usage_count), NULL FROM stats_day
    UNION ALL SELECT 'user_prompt_stats', sum(usage_count), sum(success_count) FROM user_prompt_stats
    WHERE EXISTS (SELECT FROM stats_refresh WHERE id = {LATEST} AND user_stats_as_of = as_of)
""" + "".join(
    f"UNION ALL SELECT '{table}', sum(usage_count), sum(success_count) FROM {table} "
    for table in PUBLISHED
    if table != "user_prompt_stats"
)

Published = dict[str, list[str]]


class World:
    """An app with its database, and the pipeline's lake."""

    def __init__(
        self, database: Database, lake: Path | str, awaken: Callable[[], object] = lambda: None
    ) -> None:
        """A first refresh is done. ``awaken`` waits until the database answers."""
        self.database = database
        self.lake = str(lake)
        self.awaken = awaken
        self.is_well = True
        self.round = 0
        self.undisturbed: dict[str, Outcome] = {}
        self.dice = random.Random(1)  # noqa: S311  no secret
        with psycopg.connect(database.conninfo) as app:
            app.execute(CREATE.encode())
            # An app's may have no zone, and mean UTC, as its sessions do here.
            app.execute(f"ALTER TABLE {EVERYTHING} ALTER created_at TYPE timestamptz".encode())
            if app.execute("SELECT to_regclass('users')").fetchone() != (None,):
                app.cursor().executemany(
                    "INSERT INTO users (id, email) VALUES (%s, %s)", [(user, str(user)) for user in USERS]
                )
            app.cursor().executemany(
                "INSERT INTO prompts (id, name, template) VALUES (%s, 'name', 'template')",
                [(prompt,) for prompt in PROMPTS],
            )
            # What a dead session still locked would be an error, not a test without end.
            app.execute(f"ALTER DATABASE \"{app.info.dbname}\" SET lock_timeout = '30s'".encode())
        self.live(events=80)
        refresh(at(database, self.lake))

    @property
    def installation(self) -> Installation:
        """What the steps work on."""
        return at(self.database, self.lake)

    def live(self, events: int = 20) -> None:
        """The app goes on: new events of several days, deleted ones, whose days are replaced, a favourite.

        Some are undated, and some are of a month that is long over, each time of another of its days.
        """
        now = dt.datetime.now(dt.UTC)
        self.round += 1
        old = dt.datetime.combine(FIRST_DAY, dt.time(12), dt.UTC) + self.round % 300 * ONE_DAY
        times = (None, old, now - 3 * ONE_DAY, now - ONE_DAY, now)
        rows = [
            (
                self.dice.choice(PROMPTS),
                self.dice.choice(USERS),
                self.dice.choice([None, "", "studio"]),
                self.dice.choice([True, False, None]),
                self.dice.randrange(60_000),
                times[number % len(times)],
                1,
            )
            for number in range(events)
        ]
        with psycopg.connect(self.database.conninfo) as app:
            app.execute(DELETE.encode(), {"first": FIRST_DAY, "most": events // 5})
            app.cursor().executemany(APPEND.encode(), rows)
            app.execute(FAVOUR, [self.dice.choice(PROMPTS), self.dice.choice(USERS)])

    def grow(self, events: int) -> None:
        """So many events come today."""
        row = (PROMPTS[0], USERS[1], "studio", True, 1000, dt.datetime.now(dt.UTC), events)
        with psycopg.connect(self.database.conninfo) as app:
            app.execute(APPEND.encode(), row)

    def forget(self, user: uuid.UUID) -> None:
        """The user was never there."""
        with psycopg.connect(self.database.conninfo) as app:
            app.execute(f"DELETE FROM {EVERYTHING} WHERE user_id = %s".encode(), [user])

    def published(self) -> Published:
        """What readers see."""
        with psycopg.connect(self.database.conninfo) as reader:
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return {
                table: sorted(map(repr, reader.execute(select.encode())))
                for table, select in PUBLISHED.items()
            }

    def assert_consistent(self) -> None:
        """All tables are of one refresh: they add up to the same numbers, and to what it says of itself."""
        with psycopg.connect(self.database.conninfo) as reader:
            totals = reader.execute(TOTALS.encode()).fetchall()
        assert len({used for _, used, _ in totals} - {None}) == 1, totals
        assert len({succeeded for *_, succeeded in totals} - {None}) == 1, totals

    def assert_heals(self) -> None:
        """A plain refresh puts everything right and leaves nothing to do."""
        report = refresh(self.installation)
        assert_equals_recount(self.database, FIRST_DAY, EVERYTHING)
        self.assert_consistent()
        assert report.pending_days == []
        assert plan_refresh(self.installation).days == []

    def unnamed_files(self) -> set[str]:
        """The names of the data files that no commit has ever named: killed writers leave them."""
        named = {
            json.loads(line)["add"]["path"].rsplit("/", 1)[-1]
            for log in Path(self.lake).glob("*/_delta_log/*.json")
            for line in log.read_text().splitlines()
            if line.startswith('{"add"')
        }
        return {file.name for file in Path(self.lake).glob("*/day=*/*")} - named


Worlds = Callable[[str, str], World]
"""The world for a scenario, on our tables or on an app's."""


def suffer(world: World, children: Children, scenario: str, fault: str = "", number: float = 0) -> Outcome:
    """The app lives on, a child works, the fault happens, and all is well again after a plain refresh."""
    world.live()
    before = world.published()
    world.is_well = False
    outcome = children.run(scenario, world.database, world.lake, fault, number)
    try:
        world.awaken()
        assert not outcome.is_hung
        assert outcome.status == 0 or outcome.is_killed or outcome.is_clear
        world.assert_consistent()
        if scenario == ERASURE:
            # Half of it may be done; it has to be run again.
            assert erase_user(world.installation, str(LEAVER)).found == {}
            world.forget(LEAVER)
        elif fault != DISK_FULL and world.published() != before:
            # All that is new. With a full disk, what could be processed of it.
            assert_equals_recount(world.database, FIRST_DAY, EVERYTHING)
        world.assert_heals()
    except Exception as error:
        error.add_note(f"{scenario}, {fault} {number}: {outcome}")
        raise
    world.is_well = True
    return outcome


def undisturbed(world: World, children: Children, scenario: str) -> Outcome:
    """How a scenario ends to which nothing happens; found out once a world."""
    if scenario not in world.undisturbed:
        # Where there is a past, the first retention has all of it to remove; later ones are alike.
        for _ in range(2 if scenario == RETENTION and world.round > 1 else 1):
            world.live()
            outcome = children.run(scenario, world.database, world.lake)
            assert outcome.status == 0, outcome
        if scenario == REFRESH:
            # What the harness takes for steps is what happens.
            assert {"append usage_events", "replace usage_events", "commit"} < set(outcome.steps)
        if scenario == ERASURE:
            world.forget(LEAVER)
        world.undisturbed[scenario] = outcome
    return world.undisturbed[scenario]


@pytest.fixture(scope="module", autouse=True)
def store() -> Iterator[None]:
    """Where this process and all children find buckets."""
    with buckets() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """Runs the children of all tests."""
    children = Children()
    yield children
    children.close()


@pytest.fixture(scope="module")
def worlds(
    new_database: NewDatabase,
    migrated_template: str,
    adopted_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Worlds]:
    """Gives each test the world that the one before left, and a new one where that one failed.

    Days expire for good, so retention has a world of its own.
    """
    templates = {OURS: migrated_template, AN_APPS: adopted_template, IN_A_BUCKET: migrated_template}
    made: dict[tuple[bool, str], World] = {}
    with ExitStack() as databases:

        def world(scenario: str, tables: str) -> World:
            kind = (scenario == RETENTION, tables)
            if kind not in made or not made[kind].is_well:
                database = databases.enter_context(new_database(templates[tables]))
                folder = tmp_path_factory.mktemp("lake")
                made[kind] = World(database, f"s3://lakes{folder}" if tables == IN_A_BUCKET else folder)
            return made[kind]

        yield world


@pytest.fixture
def world(worlds: Worlds, scenario: str, tables: str) -> World:
    """A world on the session's server."""
    return worlds(scenario, tables)


def is_thorough(config: pytest.Config) -> bool:
    """Whether there is time for everything."""
    return bool(config.getoption("--hypothesis-profile") == "thorough")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Where time is short, only a refresh meets every fault; what removes raw rows is killed at a step, too.

    All but that is among the random kills, and on our own tables.
    """
    if "scenario" in metafunc.fixturenames:
        few = [REFRESH, RETENTION, ERASURE] if metafunc.function is test_killed_at_a_step else [REFRESH]
        metafunc.parametrize("scenario", SCENARIOS if is_thorough(metafunc.config) else few)
    if "tables" in metafunc.fixturenames:
        metafunc.parametrize("tables", [OURS, AN_APPS] if is_thorough(metafunc.config) else [AN_APPS])


@pytest.fixture
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether there is time for everything."""
    return is_thorough(request.config)


Instant = tuple[str, int]


def instants(outcome: Outcome, *faults: str) -> list[Instant]:
    """Each of the faults at each of the steps."""
    return [(fault, number + 1) for number in range(len(outcome.steps)) for fault in faults]


def some(of: list[Instant], most: int) -> list[Instant]:
    """The first, the last, and what lies evenly between; all, if they are not more than ``most``."""
    if len(of) <= most:
        return of
    return [of[number * (len(of) - 1) // (most - 1)] for number in range(most)]


@contextmanager
def living(world: World) -> Iterator[None]:
    """The app writes all the time."""
    is_over = threading.Event()

    def live() -> None:
        while not is_over.wait(0.02):
            world.live()

    with ThreadPoolExecutor(1) as pool:
        app = pool.submit(live)
        try:
            yield
        finally:
            is_over.set()
            app.result()


LATE = {RETENTION: -4, ERASURE: -6}
"""Where these are at their own work, counted from the end."""


def assert_happened(outcomes: list[Outcome], effect: Callable[[Outcome], bool]) -> None:
    """The faults had an effect. Some may not have been reached: the work is not always the same."""
    reached = [outcome for outcome in outcomes if outcome.step]
    assert len(reached) * 2 >= len(outcomes)
    assert [outcome for outcome in reached if not effect(outcome)] == []


def test_killed_at_a_step_with_the_lake_in_a_bucket(
    worlds: Worlds, children: Children, *, thorough: bool
) -> None:
    for scenario in SCENARIOS if thorough else [REFRESH]:
        world = worlds(scenario, IN_A_BUCKET)
        possible = instants(undisturbed(world, children, scenario), KILLED_BEFORE, KILLED_AFTER)
        chosen = possible if thorough else possible[len(possible) // 2 :][:1]
        outcomes = [suffer(world, children, scenario, fault, number) for fault, number in chosen]
        assert_happened(outcomes, lambda outcome: outcome.is_killed)


def test_killed_at_a_step(world: World, children: Children, scenario: str, *, thorough: bool) -> None:
    whole = undisturbed(world, children, scenario)
    if scenario in LATE and not thorough:
        for _ in range(5):
            outcome = suffer(world, children, scenario, KILLED_BEFORE, len(whole.steps) + LATE[scenario])
            if outcome.step:
                break
            # It ended before that step: the next has about as many steps as this one had.
            whole = outcome
        assert outcome.is_killed
        return
    possible = instants(whole, KILLED_BEFORE, KILLED_AFTER)
    outcomes = [
        suffer(world, children, scenario, fault, number)
        for fault, number in (possible if thorough else some(possible, 3))
    ]
    assert_happened(outcomes, lambda outcome: outcome.is_killed)


def test_killed_between_a_file_and_its_commit(
    world: World, children: Children, scenario: str, *, thorough: bool
) -> None:
    count = undisturbed(world, children, scenario).file_changes
    before = world.unnamed_files()
    possible = [(KILLED_AT_FILE, number) for number in range(1, count + 1)]
    # The kill comes from outside, so it may come too late: until it did not, and on demand at every file.
    for fault, number in some(possible, 20) if thorough else possible:
        suffer(world, children, scenario, fault, number)
        if not thorough and world.unnamed_files() > before:
            break
    assert world.unnamed_files() > before


def test_killed_at_a_random_moment(worlds: Worlds, children: Children, *, thorough: bool) -> None:
    world = worlds(REFRESH, OURS)
    seed = random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)  # noqa: S311  no secret
    world.is_well = False
    for left in reversed(range(100 if thorough else 3)):
        second = dice.uniform(0, 3)
        try:
            with living(world):
                outcome = children.run(ENDLESS, world.database, world.lake, KILLED_AT_SECOND, second)
                assert outcome.is_killed, outcome
                world.assert_consistent()
            # Several crashes may come before anybody repairs anything.
            if left % 4 == 0:
                world.assert_heals()
        except Exception as error:
            error.add_note(f"seed {seed}, {left} kills left, the last after {second} s")
            raise
    world.is_well = True


def test_disk_is_full(world: World, children: Children, scenario: str, *, thorough: bool) -> None:
    steps = undisturbed(world, children, scenario).steps
    last_write = max(number for number, step in enumerate(steps, 1) if step.startswith(LAKE_COMMITS))
    possible = [(DISK_FULL, number) for number in range(1, last_write + 1)]
    for fault, number in some(possible, 10) if thorough else possible[-1:]:
        outcome = suffer(world, children, scenario, fault, number)
        had_nothing_to_write = outcome.status == 0 and outcome.file_changes == 0
        assert outcome.error.startswith("LakeError") or had_nothing_to_write, outcome


def test_lost_connections(world: World, children: Children, scenario: str, *, thorough: bool) -> None:
    possible = instants(undisturbed(world, children, scenario), SESSIONS_ENDED, LOCK_LOST)
    chosen = some(possible, 10) if thorough else possible[-2:-1]
    outcomes = [suffer(world, children, scenario, fault, number) for fault, number in chosen]
    # Not every step holds a lock, but each uses a connection.
    ended = [outcome for outcome, (fault, _) in zip(outcomes, chosen, strict=True) if fault == SESSIONS_ENDED]
    assert_happened(ended, lambda outcome: bool(outcome.error))


def test_disk_becomes_full_in_a_file(worlds: Worlds, children: Children) -> None:
    world = worlds(REFRESH, OURS)
    refresh(world.installation)
    world.grow(20_000)
    before = world.published()
    outcome = children.run(REFRESH, world.database, world.lake, DISK_NEARLY_FULL, 1)
    assert outcome.error.startswith("LakeError: Processing 1 days"), outcome
    assert world.published() == before
    world.assert_heals()
    assert world.published() != before


def test_reader_lost_in_the_middle_of_a_stream(worlds: Worlds, children: Children) -> None:
    world = worlds(REFRESH, AN_APPS)
    step = undisturbed(world, children, REFRESH).steps.index(NEXT_EVENTS) + 1
    refresh(world.installation)
    world.grow(40_000)
    before = world.published()
    outcome = children.run(REFRESH, world.database, world.lake, READER_LOST, step)
    assert outcome.error.startswith("DatabaseUnavailableError"), outcome
    assert "libpq" in outcome.error
    assert world.published() == before
    world.assert_heals()


@pytest.fixture(scope="module")
def fragile_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with a server of its own, which may be stopped."""
    home = tmp_path_factory.mktemp("home")
    database = Database.from_url(client.start(home))
    schema.migrate(database)
    yield World(database, home / "lake", lambda: client.start(home))
    database.close()


def test_database_restarts(
    fragile_world: World, children: Children, scenario: str, *, thorough: bool
) -> None:
    possible = instants(undisturbed(fragile_world, children, scenario), DATABASE_STOPPED, DATABASE_RESTARTED)
    chosen = some(possible, 10) if thorough else [possible[len(possible) // 2]]
    outcomes = [suffer(fragile_world, children, scenario, fault, number) for fault, number in chosen]
    assert_happened(outcomes, lambda outcome: bool(outcome.error))
