"""The application: routes, connections, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import ConnectionPool

from pipeline.api import events
from pipeline.api.problems import answer_with_problems
from pipeline.database import Database
from pipeline.settings import Settings
from pipeline.tracking.connection import ImpatientConnection

CONNECTIONS = 4
CONNECT_SECONDS = 5.0


def build_app(settings: Settings, database: Database) -> FastAPI:
    """The API on one database; it opens its connections when it starts, and closes them when it ends."""
    writers = ConnectionPool(
        database.named("prompt-stats-api").conninfo,
        connection_class=ImpatientConnection,
        kwargs={"autocommit": True, "prepare_threshold": None},
        min_size=1,
        max_size=CONNECTIONS,
        timeout=CONNECT_SECONDS,
        open=False,
        name="events",
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        writers.open()
        try:
            yield
        finally:
            await run_in_threadpool(writers.close)

    app = FastAPI(
        title="prompt-stats",
        version=version("prompt-stats"),
        summary="Usage statistics of prompt templates that equal a recount of the raw events.",
        lifespan=lifespan,
    )
    app.state.tokens = settings.api_tokens
    app.state.writers = writers
    answer_with_problems(app)
    app.include_router(events.router)
    return app
