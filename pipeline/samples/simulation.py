"""Appends simulated traffic in bulk, for trials, tests and benchmarks.

An app's own events do not take this way, but go through ``pipeline.tracking``.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from adbc_driver_manager import Error as AdbcError
from adbc_driver_manager.dbapi import Connection as BulkConnection
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from pipeline.database.connections import Database
from pipeline.database.tables import prompt_favorites, prompts
from pipeline.errors import DatabaseError, InputError
from pipeline.samples.traffic import EPOCH, Traffic

UNIQUE_VIOLATION = "23505"


@dataclass(frozen=True)
class SimulationReport:
    """What was appended, and what it takes to make the same again: ``seed`` and ``until``.

    ``user_count`` is the number of users that events were drawn for. ``favorite_count`` is the number of
    rows that were new in ``prompt_favorites``.
    """

    event_count: int
    prompt_count: int
    user_count: int
    favorite_count: int
    seed: int
    start: dt.datetime
    until: dt.datetime


def simulate(
    database: Database,
    *,
    events: int,
    days: int,
    seed: int | None = None,
    until: dt.datetime | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> SimulationReport:
    """Appends ``events`` events, spread over the ``days`` days up to ``until``, for the prompts there are.

    ``until`` is now by default, and in UTC where it has no zone; ``seed`` is random by default. The same
    seed, ``until``, ``events`` and ``days`` over the same prompts are the same events. ``progress`` is told
    the number appended so far and that of all. Appends all, or on any error nothing.

    :raises InputError: a number is out of range, there are no prompts, or these events are there already.
    """
    until = until or dt.datetime.now(dt.UTC)
    until = until.astimezone(dt.UTC) if until.tzinfo else until.replace(tzinfo=dt.UTC)
    seed = secrets.randbits(32) if seed is None else seed
    longest = (until - EPOCH).days
    if events < 1:
        raise _unusable(f"--events is {events}", "Give 1 or more")
    if not 1 <= days <= longest:
        raise _unusable(f"--days is {days}", f"Give 1 to {longest}, since no event is older than 1970")
    if seed < 0:
        raise _unusable(f"--seed is {seed}", "Give 0 or more")
    traffic = Traffic(_prompt_ids(database), events, days, seed, until)
    # Closed without a commit, this connection takes everything back.
    with database.adbc() as bulk:
        _append(bulk, traffic, progress)
        with database.engine.begin() as connection:
            favorites = insert(prompt_favorites).values(traffic.favorites()).on_conflict_do_nothing()
            added = connection.scalars(favorites.returning(prompt_favorites.c.id)).all()
            bulk.commit()
    return SimulationReport(
        event_count=events,
        prompt_count=len(traffic.prompt_ids),
        user_count=traffic.user_count,
        favorite_count=len(added),
        seed=seed,
        start=traffic.start,
        until=until,
    )


def _unusable(wrong: str, remedy: str) -> InputError:
    return InputError("Simulating traffic", wrong, remedy)


def _prompt_ids(database: Database) -> tuple[UUID, ...]:
    living = select(prompts.c.id).where(prompts.c.deleted_at.is_(None)).order_by(prompts.c.slug, prompts.c.id)
    with database.engine.connect() as connection:
        ids = tuple(connection.scalars(living))
    if not ids:
        raise _unusable("there are no prompts to be used", "Run: prompt-stats seed-prompts")
    if not all(isinstance(id_, UUID) for id_ in ids):
        raise _unusable("the ids of the prompts are not UUIDs", "Use a separate database to simulate traffic")
    return ids


def _append(bulk: BulkConnection, traffic: Traffic, progress: Callable[[int, int], None]) -> None:
    done = 0
    with bulk.cursor() as cursor:
        for batch in traffic.batches():
            try:
                cursor.adbc_ingest("prompt_usage", batch, mode="append")
            except AdbcError as error:
                raise _refusal(traffic, error) from error
            done += batch.num_rows
            progress(done, traffic.event_count)


def _refusal(traffic: Traffic, error: AdbcError) -> InputError | DatabaseError:
    attempted = f"Appending {traffic.event_count} events made with seed {traffic.seed}"
    if error.sqlstate == UNIQUE_VIOLATION:
        return InputError(
            attempted,
            "events with these ids exist already, so nothing was appended",
            "Choose another --seed, or leave it out",
        )
    return DatabaseError(
        attempted,
        f"the database refused them, so nothing was appended ({str(error).splitlines()[0]})",
        "Use a separate database to simulate traffic",
    )
