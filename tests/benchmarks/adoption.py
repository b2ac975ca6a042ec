"""Measures what an app's writers notice while its tables are adopted.

``python -m tests.benchmarks.adoption [--events 5000000] [--writers 4]``

Makes an app's database with so many events, has writers append one event after the other, each in a
transaction with the app's second statement, and migrates meanwhile, held up by a transaction that stays open
for a while. It prints the longest that a writer waited, before and during the migration and its undoing.

It starts a server of its own, as ``tests.benchmarks.refresh`` does.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from pipeline.adoption import schema
from pipeline.database.connections import Database
from tests.benchmarks.clock import say
from tests.benchmarks.server import new_database, running_server
from tests.benchmarks.tables import Table, at_most, machine
from tests.conftest import APP_SCHEMA

AIM_SECONDS = 1.0
"""Longest that a writer may wait."""

OPEN_SECONDS = 5.0
"""For so long a transaction that has read both tables stays open while the migration begins."""

FILL = """
    INSERT INTO users (email) SELECT number || '@example.org' FROM generate_series(1, 1000) AS number;
    INSERT INTO prompts (name, template) SELECT 'a prompt', 'a text' FROM generate_series(1, 1000);
    INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, created_at)
    SELECT prompts.ids[1 + number % 1000], users.ids[1 + number % 997], 'studio', number % 9 > 0,
           number % 9000, now() - number * interval '90 days' / {events}
    FROM generate_series(1, {events}) AS number,
         (SELECT array_agg(id) AS ids FROM prompts) AS prompts,
         (SELECT array_agg(id) AS ids FROM users) AS users;
    ANALYZE
"""

# What the app does at each use: two statements, here in one transaction.
USE = (
    """
    INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms)
    VALUES (%(prompt)s, %(user)s, 'studio', true, 5000)
    """,
    "UPDATE prompts SET usage_count = usage_count + 1 WHERE id = %(prompt)s",
)


class Writers:
    """Writers that append without a pause, and remember how long each transaction took, and when it ended."""

    def __init__(self, database: Database, count: int) -> None:
        self.took: list[tuple[float, float]] = []
        self.errors: list[Exception] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=[database, number]) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, database: Database, number: int) -> None:
        with psycopg.connect(database.conninfo, autocommit=True) as app:
            # Each has prompts of its own: what writers do to each other is not the subject.
            prompts = app.execute("SELECT id FROM prompts ORDER BY id").fetchall()[
                number :: len(self._threads)
            ]
            users = app.execute("SELECT id FROM users ORDER BY id").fetchall()
            while not self._ended.is_set():
                turn = len(self.took)
                values = {"prompt": prompts[turn % len(prompts)][0], "user": users[turn % len(users)][0]}
                began = time.monotonic()
                try:
                    with app.transaction():
                        for statement in USE:
                            app.execute(statement.encode(), values)
                except psycopg.Error as error:
                    self.errors.append(error)
                    return
                ended = time.monotonic()
                self.took.append((ended, ended - began))

    def end(self) -> None:
        """Has them end."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def longest(self, since: float, until: float) -> tuple[int, float]:
        """Transactions that ended in a period, or a moment after it, and the longest of them in seconds."""
        took = [seconds for ended, seconds in self.took if since <= ended <= until + AIM_SECONDS]
        return len(took), max(took, default=float("nan"))


@contextmanager
def reader_for_a_while(database: Database) -> Iterator[None]:
    """A transaction that holds locks on the app's tables, and so the migration up."""

    def hold() -> None:
        with psycopg.connect(database.conninfo) as report:
            report.execute("SELECT count(*) FROM prompts, (SELECT FROM prompt_usage LIMIT 1) AS used")
            held.set()
            time.sleep(OPEN_SECONDS)

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        thread.join()


def measure(writers: Writers, table: Table, what: str, act: Callable[[], object]) -> None:
    """A row of the table: what the writers noticed of an act."""
    say(what)
    began = time.monotonic()
    act()
    ended = time.monotonic()
    time.sleep(AIM_SECONDS)
    count, longest = writers.longest(began, ended)
    table.rows.append(
        [what, ended - began, count, longest * 1000, at_most(AIM_SECONDS * 1000, longest * 1000)]
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--writers", type=int, default=4)
    options = parser.parse_args()
    table = Table(
        f"What {options.writers} writers notice",
        f"none waits longer than {AIM_SECONDS:g} s",
        ["act", "seconds", "transactions", "longest ms", "aim"],
        notes=["What began in the act and ended within a second after it counts too."],
    )
    with running_server() as place, new_database(place, "app", is_migrated=False) as database:
        described = machine(place.url)
        say(f"filling an app's database with {options.events:,} events")
        with psycopg.connect(database.conninfo) as app:
            app.execute(APP_SCHEMA.read_bytes())
            app.execute(FILL.format(events=options.events).encode())
        writers, notify = Writers(database, options.writers), schema.Callbacks(did=say, waits=say)
        try:
            measure(writers, table, "before", lambda: time.sleep(10))
            with reader_for_a_while(database):
                measure(writers, table, "migrate", lambda: schema.migrate(database, notify))
            measure(writers, table, "migrate --undo", lambda: schema.undo(database, notify))
        finally:
            writers.end()
    if writers.errors:
        raise writers.errors[0]
    print("\n".join(f"{name}: {value}" for name, value in described.items()))
    print(f"\n{table.markdown()}")


if __name__ == "__main__":
    main()
