"""``GET /export/{table}``: a whole table as a file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from pipeline.answers.export import MEDIA_TYPES, TABLES, Export, Format
from pipeline.answers.period_export import opened_export
from pipeline.installation import Installation
from pipeline.limits import STALLED_SECONDS
from pipeline.web.api.periods import AskedPeriod
from pipeline.web.api.problems import RETRY_SECONDS, Problem

AT_ONCE = 4
"""Each has a connection of its own, and some memory."""

FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            MEDIA_TYPES[Format.PARQUET]: {"schema": {"type": "string", "format": "binary"}},
            MEDIA_TYPES[Format.CSV]: {"schema": {"type": "string"}},
            MEDIA_TYPES[Format.JSON]: {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
}

router = APIRouter(tags=["export"])


class Exports:
    """How many exports may run at once, counted."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = threading.BoundedSemaphore(at_once)

    def begin(self, opened: ExitStack) -> None:
        """Takes a place, which is given back as ``opened`` is closed.

        :raises Problem: 503, none is free.
        """
        if not self._free.acquire(blocking=False):
            detail = "As many exports are running as may; ask again later"
            raise Problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})
        opened.callback(self._free.release)


class _File(StreamingResponse):
    """A file that is streamed from the database, and lets go of it whatever becomes of the client."""

    def __init__(self, opened: ExitStack, chunks: Iterator[bytes], kind: Format, headers: dict[str, str]):
        super().__init__(chunks, headers=headers, media_type=MEDIA_TYPES[kind])
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # As long as a piece is not taken, the database keeps what it has to vacuum.
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STALLED_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            # Right here, since whoever is cancelled may not wait; it takes a few milliseconds.
            self._opened.close()


@router.get("/export/{table}", summary="A whole table as a file", response_class=Response, responses=FILES)
async def export(
    request: Request,
    table: Annotated[str, Path(description="The table's name.", json_schema_extra={"enum": [*TABLES]})],
    asked: AskedPeriod,
    kind: Annotated[Format, Query(alias="format", description="The format of the file.")] = Format.CSV,
    *,
    raw: Annotated[
        bool,
        Query(description="For CSV: do not mark texts that a spreadsheet may take for a formula."),
    ] = False,
) -> Response:
    """Exports all rows and columns from one snapshot, in the order of the key, with the names of SQL.

    If days are given, the rows are counted for them from the lake, and have fewer columns. Not all tables can
    be counted for some days; the error lists those that can.

    In CSV, nothing between two commas means NULL, and `""` is the empty text. A text that a spreadsheet may
    take for a formula (it begins with `=`, `+`, `-`, `@`, a tab or a line break) gets a `'` in front, unless
    you set `raw`.
    """
    state = request.app.state
    opened = ExitStack()
    try:
        state.exports.begin(opened)
        found, chunks = await run_in_threadpool(
            _open,
            opened,
            opened_export(
                Installation.of(state.settings, state.database),
                table,
                kind,
                asked.period if asked.is_given else None,
                raw=raw,
            ),
        )
    except BaseException:
        opened.close()
        raise
    headers = {
        "Content-Disposition": f'attachment; filename="{table}.{kind}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
    }
    if found.as_of:
        headers |= {"Stats-As-Of": found.as_of.isoformat(), "Stats-Lag-Seconds": f"{found.lag_seconds:.3f}"}
    return _File(opened, chunks, kind, headers)


def _open(opened: ExitStack, export: AbstractContextManager[Export]) -> tuple[Export, Iterator[bytes]]:
    """The export and its bytes; the first are there: what goes wrong before them is an answer of its own."""
    found = opened.enter_context(export)
    first = next(found.chunks)
    return found, (chunk.content for chunk in chain([first], found.chunks))
