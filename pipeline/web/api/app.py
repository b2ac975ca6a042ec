"""The application: routes, connections, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, get_args, get_origin

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from starlette.types import Receive, Scope, Send

from pipeline.database.connections import Database
from pipeline.limits import KEPT_SECONDS
from pipeline.settings import Settings
from pipeline.web.api import (
    alerts,
    comparison,
    connections,
    events,
    export,
    failures,
    history,
    markers,
    operation,
    overall,
    prompts,
    users,
)
from pipeline.web.api.access import PUBLIC, Access, Guard
from pipeline.web.api.addresses import StrictAddresses
from pipeline.web.api.bodies import BoundedBodies
from pipeline.web.api.headers import SafeHeaders
from pipeline.web.api.kept import Kept
from pipeline.web.api.problems import PROBLEMS, Problem, answer_with_problems
from pipeline.web.api.reader import Reader

TOKEN = {"type": "http", "scheme": "bearer", "description": "One of PROMPT_STATS_API_TOKEN."}


class Api(FastAPI):
    """An application whose description says which requests need a token."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if not self.openapi_schema:
            described = super().openapi()
            described["components"]["securitySchemes"] = {"token": TOKEN}
            described["security"] = [{"token": []}]
            for path in PUBLIC & described["paths"].keys():
                described["paths"][path]["get"]["security"] = []
        return super().openapi()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers; what is kept, before routes and all that is in front of them take their time."""
        if not await self.state.kept.give(scope, send):
            await super().__call__(scope, receive, send)


async def known_parameters(request: Request) -> None:
    """Lets no misspelt parameter pass for one that was left out, and of one value only one be given.

    :raises Problem: 422, there is one that the request does not have, or that has several values.
    """
    known = dict(_parameters(request.scope["route"].dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    for name, times in sorted(given.items()):
        if name not in known:
            there_are = ", ".join(sorted(known)) or "none"
            raise Problem(422, f"There is no parameter {name!r}; there are: {there_are}")
        if times > 1 and not _is_list(known[name]):
            raise Problem(422, f"{name}: it is given {times} times; give it once")


def _parameters(dependant: Dependant) -> Iterator[tuple[str, Any]]:
    """Names and types."""
    yield from ((each.alias, each.field_info.annotation) for each in dependant.query_params)
    for each in dependant.dependencies:
        yield from _parameters(each)


def _is_list(annotation: Any) -> bool:
    return any(get_origin(each) is list for each in (annotation, *get_args(annotation)))


def build_app(settings: Settings, database: Database, kept_seconds: float = KEPT_SECONDS) -> FastAPI:
    """The API on one database; it opens its connections when it starts, and closes them when it ends.

    ``kept_seconds``: as ``seconds`` of :class:`Kept`.
    """
    conninfo = database.named("prompt-stats-api").conninfo
    reader = Reader(conninfo, database.names)
    writers = connections.writers(conninfo, database.names)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        writers.open()
        await reader.open()
        await kept.see()
        try:
            yield
        finally:
            await reader.close()
            await run_in_threadpool(writers.close)

    app = Api(
        title="prompt-stats",
        version=version("prompt-stats"),
        summary="Usage statistics of prompt templates that equal a recount of the raw events.",
        lifespan=lifespan,
        responses=PROBLEMS,
        dependencies=[Depends(known_parameters)],
        # Its scripts come from the internet, and the origin is that of the dashboard with its token.
        docs_url=None,
        redoc_url=None,
        # Where they lead is made of the path, which may hold what no address may.
        redirect_slashes=False,
    )
    app.state.writers = writers
    app.state.reader = reader
    app.state.database = database
    app.state.settings = settings
    # The report asks for all that there is of some prompts: it names them here.
    app.state.kept_prompts = []
    app.state.kept_periods = {}
    app.state.exports = export.Exports()
    app.state.metrics = metrics = operation.Metrics()
    guard = Guard(settings.api_tokens)
    app.state.kept = kept = Kept(reader.state, guard.check, metrics.count, kept_seconds)

    # The last one is the outermost.
    app.add_middleware(BoundedBodies)
    app.add_middleware(Access, guard=guard)
    app.add_middleware(operation.Measure, metrics=metrics)
    app.add_middleware(StrictAddresses)
    app.add_middleware(SafeHeaders)
    answer_with_problems(app)
    # These first: /prompts/sparklines and its like are a prompt's key only where they have no parameter.
    for part in (
        comparison,
        history,
        markers,
        prompts,
        # After the ranking /prompts/top/failures: of a prompt with the slug top by its id alone.
        failures,
        overall,
        alerts,
        users,
        export,
        events,
        operation,
    ):
        app.include_router(part.router)
    return app
