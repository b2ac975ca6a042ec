"""Reads the published stats: each answer from one snapshot, with as of when, and an ETag."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Path, Request, Response
from psycopg.rows import DictRow
from pydantic import Field

from pipeline import sessions
from pipeline.api.answers import in_camel_case
from pipeline.api.connections import ReadingConnection, read, readers
from pipeline.api.problems import Problem
from pipeline.names import TableNames
from pipeline.queries import query

FRESHNESS = query("api/freshness")

Rows = list[dict[str, Any]]
Query = tuple[str, Mapping[str, Any]]


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

    async def read(self, *queries: Query) -> Found:
        """The rows of each query, and as of when they are; those of several are from one snapshot.

        :raises psycopg.Error: the database does not answer, or not in time.
        """
        return await read(self._pool, partial(_read, queries))


async def _read(queries: Sequence[Query], connection: ReadingConnection) -> Found:
    is_shared = sessions.is_shared(connection)
    async with AsyncExitStack() as stack:
        if len(queries) > 1 or is_shared:
            pipeline = await stack.enter_async_context(connection.pipeline())
            await stack.enter_async_context(connection.transaction())
            if is_shared:
                await sessions.set_locally_async(connection)
                # The server tells the driver of formats when a pipeline is synced.
                await pipeline.sync()
        # How fresh comes first: a publish in between makes one query's rows newer than they say, never
        # older. A transaction for it would take longer than both.
        cursors = [await connection.execute(FRESHNESS)]
        cursors += [await connection.execute(*each) for each in queries]
        results = [await cursor.fetchall() for cursor in cursors]
        return Found(results[0][0], results[1:])


def answer(request: Request, found: Found, body: Mapping[str, object] | Rows) -> Response:
    """The answer, or 304 if the asker has it already. As of when it is stands in its headers too.

    ``body`` is what it holds by name, where a value may be a row or rows of the database, or it is rows
    alone; their names are spelt as the app spells them. The ETag is that of the content but for
    ``lagSeconds``, which is another at each request.
    """
    as_of, lag_seconds = found.freshness["as_of"], found.freshness["lag_seconds"]
    content = (
        {"asOf": as_of, **in_camel_case({name: _spelt(value) for name, value in body.items()})}
        if isinstance(body, Mapping)
        else _spelt(body)
    )
    encoded = msgspec.json.encode([found.freshness["refresh_id"], content])
    tag = f'W/"{hashlib.blake2b(encoded, digest_size=8).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if as_of:
        headers |= {"Stats-As-Of": as_of.isoformat(), "Stats-Lag-Seconds": f"{lag_seconds:.3f}"}
    known = {each.strip() for each in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    whole = {**content, "lagSeconds": lag_seconds} if isinstance(content, dict) else content
    return Response(msgspec.json.encode(whole), media_type="application/json", headers=headers)


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

Id = Annotated[str | int, Field(description="As the app has it: a UUID, another text, or a number.")]

UserId = Annotated[str, Path(description="The user's id.", min_length=1)]

Key = Annotated[
    str,
    Path(
        description="The prompt's id or slug.",
        min_length=1,
        examples=["portrait-selfie-casual"],
    ),
]


def by_key(key: str) -> dict[str, Any]:
    """The parameters ``id`` and ``slug`` for a prompt's id or slug.

    :raises Problem: no prompt can have it.
    """
    if "\0" in key:
        raise no_prompt(key)
    return {"id": as_text(key), "slug": key}


def as_text(key: str) -> str:
    """An id as the database writes it: UUIDs have several spellings."""
    try:
        return str(uuid.UUID(key))
    except ValueError:
        return key


def no_prompt(key: str) -> Problem:
    """The answer about a prompt that is not there."""
    return Problem(404, f"There is no prompt {key!r}; GET /prompts lists them")


def asked_keys(ids: str, longest: int) -> list[str]:
    """The ids or slugs of a list that is separated by commas.

    :raises Problem: 422, there are none, or too many.
    """
    keys = [key.strip() for key in ids.split(",") if key.strip()]
    if not 1 <= len(keys) <= longest:
        raise Problem(422, f"Give 1 to {longest} ids or slugs, not {len(keys)}")
    return keys


def only(rows: Rows, key: str) -> dict[str, Any]:
    """The row of a prompt; an id goes before another prompt's slug that looks like it.

    :raises Problem: 404, there is none.
    """
    if not rows:
        raise no_prompt(key)
    return rows[0]
