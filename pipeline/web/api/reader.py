"""Reads the published stats: each answer from one snapshot, with as of when, and an ETag."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response
from psycopg.rows import DictRow
from pydantic import Field

from pipeline.database import sessions
from pipeline.database.prompt_keys import (
    NAMED_PROMPTS,
    PROMPTS_BY_NAME,
    Named,
    askable,
    by_key,
    no_prompt,
    only_id,
)
from pipeline.database.queries import query
from pipeline.limits import WATCHED_MAX_BYTES
from pipeline.names import TableNames
from pipeline.web.api.answers import in_camel_case
from pipeline.web.api.connections import ReadingConnection, read, readers
from pipeline.web.api.kept import Answered
from pipeline.web.api.values import Unheld, unheld

FRESHNESS = query("answers/freshness")
STATE = query("web/state")

NOTES_MAX = 20
"""Of an answer."""

Rows = list[dict[str, Any]]
Question = tuple[str, Mapping[str, Any]]


class Found:
    """Rows of one snapshot, and how fresh they are."""

    def __init__(self, freshness: DictRow, results: Sequence[Rows]) -> None:
        self.freshness = freshness
        self.results = results

    def __getitem__(self, number: int) -> Rows:
        return self.results[number]


class Reader:
    """Connections that only read, and give up after five seconds."""

    def __init__(self, conninfo: str, names: TableNames) -> None:
        """Nothing is opened before :meth:`open`."""
        self._pool = readers(conninfo, names)

    async def open(self) -> None:
        """Opens the first connection, in the background."""
        await self._pool.open()

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.close()

    async def read(self, *queries: Question) -> Found:
        """The rows of each query, and as of when they are; those of several are from one snapshot.

        :raises psycopg.Error: the database does not answer, or not in time.
        """
        # How fresh comes first: a publish in between makes one query's rows newer than they say, never
        # older. A transaction for it would take longer than both.
        results = await read(
            self._pool, partial(_read, [(FRESHNESS, {}), *queries], is_one=len(queries) <= 1)
        )
        return Found(results[0][0], results[1:])

    async def state(self) -> object:
        """What answers that are kept rest on; equal as long as they hold.

        :raises psycopg.Error: the database does not answer, or not in time.
        """
        # Some answers are about the last days.
        today = dt.datetime.now(dt.UTC).date()
        question = (STATE, {"prompts_max_bytes": WATCHED_MAX_BYTES})
        [rows] = await read(self._pool, partial(_read, [question], is_one=True))
        return today, rows

    async def prompt_ids(self, keys: Sequence[str]) -> list[Any]:
        """The ids of the prompts that these ids, slugs or unique names mean, in their order.

        :raises NotFoundError: one names no prompt.
        :raises AmbiguousError: one is the slug or the name of several.
        :raises psycopg.Error: the database does not answer, or not in time.
        """
        wanted = askable(keys)
        named = dict(await self._named(NAMED_PROMPTS, wanted))
        others = [key for key in wanted if key not in named]
        if others:
            named |= await self._named(PROMPTS_BY_NAME, others)
        return [only_id(named, key) for key in keys]

    async def _named(self, statement: str, keys: list[str]) -> Named:
        [rows] = await read(self._pool, partial(_read, [(statement, {"keys": keys})], is_one=True))
        return by_key([(row["key"], row["id"]) for row in rows])

    async def prompt_id(self, key: str) -> Any:
        """The same of one prompt."""
        return (await self.prompt_ids([key]))[0]


async def _read(questions: Sequence[Question], connection: ReadingConnection, *, is_one: bool) -> list[Rows]:
    """The rows of each; of one snapshot, unless it is but one that matters."""
    is_shared = sessions.is_shared(connection)
    async with AsyncExitStack() as stack:
        if not is_one or is_shared:
            pipeline = await stack.enter_async_context(connection.pipeline())
            await stack.enter_async_context(connection.transaction())
            if is_shared:
                await sessions.set_locally_async(connection)
                # The server tells the driver of formats when a pipeline is synced.
                await pipeline.sync()
        cursors = [await connection.execute(*each) for each in questions]
        return [await cursor.fetchall() for cursor in cursors]


def answer(
    request: Request, found: Found, body: Mapping[str, object] | Rows, *, may_be_kept: bool = False
) -> Response:
    """The answer, or 304 if the asker has it already. As of when it is stands in its headers too.

    A time that programs don't hold is null, as its ``notes`` say; of bare rows a header has their number.

    ``body`` is what it holds by name, where a value may be a row or rows of the database, or it is rows
    alone; their names are spelt as the app spells them. The ETag is that of the content but for
    ``lagSeconds``, which is another at each request. ``may_be_kept``: whether the next who ask may have the
    same answer (``pipeline.web.api.kept``).
    """
    freshness = found.freshness
    content = (
        {"asOf": freshness["as_of"], **in_camel_case({name: _spelt(value) for name, value in body.items()})}
        if isinstance(body, Mapping)
        else _spelt(body)
    )
    missing: list[Unheld] = []

    def as_null(value: object) -> None:
        if not isinstance(value, Unheld):
            raise TypeError(f"no JSON for {type(value).__name__}")
        missing.append(value)

    encoded = msgspec.json.encode(content, enc_hook=as_null)
    digest = hashlib.blake2b(encoded, digest_size=8, key=str(freshness["refresh_id"]).encode())
    answered = Answered(
        f'W/"{digest.hexdigest()}"',
        encoded,
        freshness["as_of"] and freshness["as_of"].isoformat(),
        freshness["lag_seconds"],
        _notes(content) if missing else (),
    )
    if may_be_kept:
        request.app.state.kept.keep(request, answered)
    return answered.response(request.headers.get("if-none-match", "").encode("latin-1"))


def _notes(content: object) -> list[str]:
    """What is null in an answer though the database has a value."""
    counts = Counter(unheld(content))
    return [
        f"{name} is null {count} times for {printed}, which is beyond the times that programs hold"
        for (name, printed), count in counts.most_common(NOTES_MAX)
    ]


def _spelt(value: object) -> object:
    """A row, or rows, with their names in camelCase; what a row holds stays as it is, JSON of the app too."""
    if isinstance(value, dict):
        return in_camel_case(value)
    if isinstance(value, list):
        return [_spelt(each) for each in value]
    return value


async def of_request(request: Request) -> Reader:
    """The application's reader."""
    reader: Reader = request.app.state.reader
    return reader


Stats = Annotated[Reader, Depends(of_request)]

Id = Annotated[str, Field(description="As the app has it; a number as a string too.")]


def only(rows: Rows, key: str) -> dict[str, Any]:
    """The row of a prompt.

    :raises NotFoundError: there is none, any more.
    """
    if not rows:
        raise no_prompt(key)
    return rows[0]
