"""Simulated traffic in a database: all of it or nothing, and the same again for the same seed."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import text

from pipeline.database.connections import Database
from pipeline.errors import DatabaseError, InputError
from pipeline.samples.seeding import seed_prompts
from pipeline.samples.simulation import simulate
from pipeline.samples.traffic import EVENT_SCHEMA, EVENTS_PER_BATCH, Traffic

UNTIL = dt.datetime(2025, 6, 1, 12, 30, tzinfo=dt.UTC)


@pytest.fixture
def seeded(database: Database) -> Database:
    """A database with the shipped prompts."""
    seed_prompts(database)
    return database


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process lives in another zone."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def scalar(database: Database, statement: str) -> Any:
    with database.engine.connect() as connection:
        return connection.scalar(text(statement))


def execute(database: Database, statement: str, **values: object) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(statement), values)


def event_count(database: Database) -> int:
    return int(scalar(database, "SELECT count(*) FROM prompt_usage"))


def favorite_count(database: Database) -> int:
    return int(scalar(database, "SELECT count(*) FROM prompt_favorites"))


def traffic_of(database: Database, events: int, days: int, seed: int) -> Traffic:
    with database.engine.connect() as connection:
        ids = tuple(connection.scalars(text("SELECT id FROM prompts ORDER BY slug")))
    return Traffic(ids, events, days, seed, UNTIL)


@pytest.mark.parametrize("events", [1, EVENTS_PER_BATCH + 1])
def test_exactly_the_made_up_events_are_appended(seeded: Database, events: int) -> None:
    report = simulate(seeded, events=events, days=30, seed=1, until=UNTIL)

    made_up = pa.Table.from_batches(traffic_of(seeded, events, 30, 1).batches())
    with seeded.adbc() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(EVENT_SCHEMA.names)} FROM prompt_usage")
        stored = cursor.fetch_arrow_table()
    assert pl.DataFrame(stored).sort("id").equals(pl.DataFrame(made_up).sort("id"))
    assert report.event_count == events
    assert (report.prompt_count, report.seed, report.until) == (24, 1, UNTIL)
    assert report.start == UNTIL - dt.timedelta(days=30)
    assert report.favorite_count == favorite_count(seeded) > 0


def test_events_tell_the_transaction_that_appended_them(seeded: Database) -> None:
    simulate(seeded, events=EVENTS_PER_BATCH + 1, days=2, seed=1)

    assert scalar(seeded, "SELECT count(DISTINCT ingest_xid) FROM prompt_usage") == 1
    assert scalar(seeded, "SELECT bool_and(ingest_xid::text = xmin::text) FROM prompt_usage")


def test_the_same_events_again_are_refused(seeded: Database) -> None:
    simulate(seeded, events=500, days=3, seed=5, until=UNTIL)
    favorites = favorite_count(seeded)

    with pytest.raises(InputError, match=r"seed 5: events with these ids exist already.*another --seed"):
        simulate(seeded, events=500, days=3, seed=5, until=UNTIL)

    assert event_count(seeded) == 500
    assert favorite_count(seeded) == favorites


def test_another_seed_or_a_random_one_appends_more(seeded: Database) -> None:
    simulate(seeded, events=500, days=3, seed=5, until=UNTIL)
    simulate(seeded, events=500, days=3, seed=6, until=UNTIL)
    first = simulate(seeded, events=500, days=3, until=UNTIL)
    second = simulate(seeded, events=500, days=3, until=UNTIL)

    assert event_count(seeded) == 2000
    assert first.seed != second.seed


def test_favorites_that_are_there_already_are_not_counted_again(seeded: Database) -> None:
    first = simulate(seeded, events=500, days=3, seed=5, until=UNTIL)
    later = simulate(seeded, events=500, days=3, seed=5, until=UNTIL + dt.timedelta(days=3))

    assert first.favorite_count > 0
    assert later.favorite_count == 0
    assert favorite_count(seeded) == first.favorite_count


def test_a_refusal_near_the_end_takes_everything_back(seeded: Database) -> None:
    events = EVENTS_PER_BATCH + 10
    *_, last = traffic_of(seeded, events, 5, 2).batches()
    taken = last.column("id")[-1].as_py()
    execute(seeded, "INSERT INTO prompt_usage (id, prompt_id) VALUES (:id, :id)", id=taken)

    with pytest.raises(InputError, match="nothing was appended"):
        simulate(seeded, events=events, days=5, seed=2, until=UNTIL)

    assert event_count(seeded) == 1
    assert favorite_count(seeded) == 0


def test_what_else_the_database_refuses_is_told(seeded: Database) -> None:
    execute(seeded, "ALTER TABLE prompt_usage ADD CONSTRAINT no_studio CHECK (scene <> 'studio')")

    with pytest.raises(DatabaseError, match="no_studio"):
        simulate(seeded, events=500, days=3)

    assert event_count(seeded) == favorite_count(seeded) == 0


def test_an_interrupt_takes_everything_back(seeded: Database) -> None:
    def interrupt(done: int, _total: int) -> None:
        if done > EVENTS_PER_BATCH:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(seeded, events=3 * EVENTS_PER_BATCH, days=5, progress=interrupt)

    assert event_count(seeded) == favorite_count(seeded) == 0


def test_progress_is_told_up_to_the_end(seeded: Database) -> None:
    told: list[tuple[int, int]] = []
    events = 2 * EVENTS_PER_BATCH + 7

    simulate(seeded, events=events, days=5, progress=lambda done, total: told.append((done, total)))

    assert told == [(EVENTS_PER_BATCH, events), (2 * EVENTS_PER_BATCH, events), (events, events)]


def test_only_living_prompts_are_used(seeded: Database) -> None:
    execute(seeded, "UPDATE prompts SET deleted_at = now() WHERE category <> 'fitness'")

    report = simulate(seeded, events=2_000, days=3)

    assert report.prompt_count == 3
    used = "SELECT DISTINCT category FROM prompts JOIN prompt_usage ON prompts.id = prompt_id"
    assert scalar(seeded, f"SELECT array_agg(category) FROM ({used}) AS used") == ["fitness"]


def test_now_is_the_end_unless_told(seeded: Database) -> None:
    before = dt.datetime.now(dt.UTC)
    report = simulate(seeded, events=2_000, days=3)

    assert before <= report.until <= dt.datetime.now(dt.UTC)
    assert scalar(seeded, "SELECT max(created_at) FROM prompt_usage") <= report.until
    assert scalar(seeded, "SELECT min(created_at) FROM prompt_usage") >= report.start


@pytest.mark.parametrize(
    "until",
    [dt.datetime(2025, 6, 1, 12, 30), UNTIL.astimezone(dt.timezone(dt.timedelta(hours=5)))],  # noqa: DTZ001
)
@pytest.mark.usefixtures("far_from_utc")
def test_an_end_without_a_zone_is_in_utc(seeded: Database, until: dt.datetime) -> None:
    assert simulate(seeded, events=1, days=1, until=until).until == UNTIL


def test_without_prompts_the_way_out_is_told(database: Database) -> None:
    with pytest.raises(InputError, match="prompt-stats seed-prompts"):
        simulate(database, events=10, days=1)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"events": 0}, "--events is 0"),
        ({"events": -5}, "--events is -5"),
        ({"days": 0}, "--days is 0"),
        ({"days": 10**10}, r"--days is 10000000000\. Give 1 to 20240,"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_numbers_out_of_range_are_named(seeded: Database, numbers: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        simulate(seeded, **{"events": 10, "days": 1, "until": UNTIL, **numbers})  # type: ignore[arg-type]

    assert event_count(seeded) == 0
