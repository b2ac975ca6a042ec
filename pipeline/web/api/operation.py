"""For operators: status, health, and metrics for Prometheus."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from pydantic import Field
from sqlalchemy.exc import DBAPIError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.answers import reading
from pipeline.database.queries import query
from pipeline.errors import DatabaseError, LakeError, readable
from pipeline.installation import Installation
from pipeline.lake import source
from pipeline.lake.damage import Damaged
from pipeline.lake.delta_table import Sizes
from pipeline.lake.upkeep import damage_of, lake_tables
from pipeline.web.api.answers import Answer, StatsAnswer
from pipeline.web.api.reader import Rows, Stats

logger = logging.getLogger(__name__)

OPERATION = query("web/operation")

router = APIRouter(tags=["operation"])

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those that are told apart: HTTP lets a client make one up, and each would be a series of its own."""

GAUGES = {
    "as_of_seconds": (
        "prompt_stats_as_of_timestamp_seconds",
        "All events committed before this moment are counted.",
    ),
    "lag_seconds": ("prompt_stats_lag_seconds", "How long ago that moment is."),
    "published_seconds": ("prompt_stats_published_timestamp_seconds", "When the last publish ended."),
    "publish_seconds": ("prompt_stats_publish_seconds", "How long the last publish took."),
    "oldest_writer_seconds": (
        "prompt_stats_oldest_writer_seconds",
        "How long the oldest transaction that has written something has been open. Newer events wait for it.",
    ),
    "usage_count": ("prompt_stats_usage_events", "Events in the published stats."),
    "held_back_count": ("prompt_stats_held_back_events", "Events dated more than a day ahead."),
    "pending_days": ("prompt_stats_pending_days", "Days that the last refresh could not complete."),
    "rejected_count": ("prompt_stats_rejected_events", "Events that were rejected."),
    "damaged_days": ("prompt_stats_damaged_days", "Expired days that the lake no longer has in full."),
}

BY_KEY = {
    "rows_written": ("prompt_stats_rows_written", "Rows that the last publish wrote.", "table"),
    "seconds": ("prompt_stats_publish_step_seconds", "How long each step of the last publish took.", "step"),
}
OF_LAKE = {
    "files": "Files of the table's latest state.",
    "bytes": "Size of the files of the table's latest state.",
    "log_files": "Files of the table's log.",
    "log_bytes": "Size of the files of the table's log.",
}
"""Fields of ``pipeline.lake.delta_table.Sizes``, each a metric with a value a table."""


class Metrics:
    """What this server counts of itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "prompt_stats_request_seconds", "Time to answer.", ["route", "method"], registry=self.registry
        )
        self.answers = Counter(
            "prompt_stats_requests",
            "Answers by status.",
            ["route", "method", "status"],
            registry=self.registry,
        )

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answer. ``route``: as the routes have it; with ids, each would be a series."""
        self.seconds.labels(route, method).observe(seconds)
        self.answers.labels(route, method, str(status)).inc()


class Measure:
    """Counts each answer, and how long it took.

    As ASGI has it, not as a function of request and response: those end a stream that broke off as if it were
    whole, and take longer.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes everything on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path_format", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.count(route, method, status, time.perf_counter() - start)


class Health(Answer):
    """Whether the server can answer."""

    status: str = Field(examples=["ok"])


class Writer(Answer):
    """An open transaction that has written something."""

    pid: int | None = Field(description="Null if the transaction is prepared and has no process.")
    role: str | None
    database: str | None
    application_name: str | None
    state: str | None
    open_seconds: float | None = Field(description="Null if the server's role may not see it.")


class Damage(Answer):
    """A day with a file in the lake that can't be read."""

    table: str
    day: dt.date = Field(description="The day, or the first day of the month in a table by months.")
    why: str
    remedy: str = Field(description="What to do.")


class Status(StatsAnswer):
    """How fresh and how complete the stats are."""

    user_stats_as_of: dt.datetime | None
    value_stats_as_of: dt.datetime | None
    write_back: Literal["on", "off", "waiting"] | None = Field(
        description="Whether the last refresh wrote the counters in prompts; null before the first."
    )
    write_back_as_of: dt.datetime | None
    published_at: dt.datetime | None
    high: int | None = Field(description="Rows with a smaller ingest_xid are counted.")
    usage_count: int
    stale_days: list[dt.date] = Field(description="Days that the next refresh will look at.")
    pending_days: list[dt.date] = Field(description="Days that the last refresh could not complete.")
    held_back_count: int
    unusable_count: int | None
    unusable_examples: list[str] = Field(description="Ids of some events with an unusable time.")
    rejected_count: int
    expired_day_count: int = Field(description="Days that only the lake has.")
    dropped_day_count: int = Field(description="Expired days whose rows were dropped with a partition.")
    dropped_partitions: Literal["keep", "count-down"] = Field(
        description="What happens to the numbers when a partition is dropped."
    )
    damaged_days: list[dt.date] = Field(description="Days with damaged files in the lake.")
    damage: list[Damage]
    oldest_writer: Writer | None = Field(description="The oldest open transaction, which holds back asOf.")


@router.get("/health", summary="Is it alive?", response_model=Health)
async def health(stats: Stats) -> Health:
    """Answers 200 if the database answers. It needs no token and says nothing else."""
    await stats.read()
    return Health(status="ok")


@router.get("/status", summary="How fresh, how complete", response_model=Status)
async def status(request: Request) -> Response:
    """The same as `prompt-stats status`."""
    state = request.app.state
    found = await run_in_threadpool(reading.status, Installation.of(state.settings, state.database))
    return Response(Status(**found).model_dump_json(by_alias=True), media_type="application/json")


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}},
)
async def metrics(request: Request, stats: Stats) -> Response:
    """Lag, steps, sizes and failures, and how this server answers, for Prometheus.

    If the database does not answer, its metrics are absent.
    """
    try:
        rows = (await stats.read((OPERATION, {})))[0]
    except psycopg.Error as error:
        logger.warning("%s", error)
        rows = []
    state = request.app.state
    sizes = await run_in_threadpool(_sizes_of_lake, state.settings.lake)
    damage = await run_in_threadpool(_damage_of_lake, Installation.of(state.settings, state.database))
    registry = CollectorRegistry()
    registry.register(_Published(rows))
    registry.register(_Lake(sizes, damage))
    counted = generate_latest(request.app.state.metrics.registry)
    return Response(generate_latest(registry) + counted, media_type=CONTENT_TYPE_LATEST)


class _Published:
    """A collector, which is what has ``collect()``."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "prompt_stats_database_up", "1 if the database answers.", value=bool(self._rows)
        )
        for row in self._rows:
            for column, (name, meaning) in GAUGES.items():
                if row[column] is not None:
                    yield GaugeMetricFamily(name, meaning, value=row[column])
            for column, (name, meaning, label) in BY_KEY.items():
                family = GaugeMetricFamily(name, meaning, labels=[label])
                for key, value in (msgspec.json.decode(row[column]) if row[column] else {}).items():
                    family.add_metric([key], value)
                yield family


class _Lake:
    def __init__(self, sizes: Mapping[str, Sizes], damage: Sequence[Damaged]) -> None:
        self._sizes = sizes
        self._damage = damage

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "prompt_stats_lake_readable", "1 if the lake's tables can be opened.", value=bool(self._sizes)
        )
        for field, meaning in OF_LAKE.items():
            family = GaugeMetricFamily(f"prompt_stats_lake_{field}", meaning, labels=["table"])
            for table, sizes in self._sizes.items():
                family.add_metric([table], getattr(sizes, field))
            yield family
        family = GaugeMetricFamily(
            "prompt_stats_lake_damaged_day",
            "1 for each day of a table of which a file can't be read, and what helps.",
            labels=["table", "day", "remedy"],
        )
        for each in self._damage:
            family.add_metric([each.table, each.day.isoformat(), each.remedy], 1)
        yield family


def _sizes_of_lake(lake: str) -> Mapping[str, Sizes]:
    """Nothing if it can't be read: the figures of the database are needed then all the more."""
    try:
        return {table.name: table.sizes() for table in lake_tables(lake)}
    except LakeError as error:
        logger.warning("%s", error)
        return {}


def _damage_of_lake(installation: Installation) -> list[Damaged]:
    """By the lengths of the files, so that it may be asked often. Without the database, nothing."""
    try:
        with installation.database.engine.connect() as connection:
            expired = source.expired_days(connection)
        return damage_of(installation.lake, expired, lambda table: table.faults())
    except (DBAPIError, DatabaseError, LakeError) as error:
        logger.warning("%s", readable(error))
        return []
