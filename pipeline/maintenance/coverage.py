"""Finds posts that were made from a prompt and have no usage event, and appends the missing events.

An app that did not track for a while, or on one of its code paths, undercounts. The post itself shows that
its prompt was used, when, by whom and in which context. Only the generation time is lost.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from psycopg.rows import dict_row

from pipeline.database.queries import query
from pipeline.engines import duckdb_engine
from pipeline.errors import DatabaseError
from pipeline.installation import Installation
from pipeline.lake import source
from pipeline.lake.usage_events import open_own_events
from pipeline.refresh import refresh
from pipeline.tracking.batches import append_events
from pipeline.tracking.event import read_event

logger = logging.getLogger(__name__)

POSTS_WITH_PROMPT = query("maintenance/posts_with_prompt")
UNTRACKED_POSTS = query("maintenance/untracked_posts")

GRACE = dt.timedelta(hours=1)
"""The age at which a post's event counts as missing. Until then a tracker may have it in its buffer."""

POSTS_PER_BATCH = 5_000

NAMESPACE = uuid.UUID("6f6a5c0e-1d0b-5b1e-9c53-7c2f3ad0b9d4")
"""Of the event ids made from post ids: the same post is the same event, however often it is tracked."""


@dataclass(frozen=True)
class CoverageReport:
    """``posts``: posts with a prompt that are old enough. ``missing``: those that no event is about.

    ``first_at``, ``last_at``: when the first and the last of these were made; None without any.
    ``tracked``: how many of them are events now. ``rejected``: how many could not be, and stand in
    ``prompt_usage_rejected``.
    """

    posts: int
    missing: int
    first_at: dt.datetime | None
    last_at: dt.datetime | None
    tracked: int = 0
    rejected: int = 0


def look_for_missing(installation: Installation, grace: dt.timedelta = GRACE) -> CoverageReport:
    """Counts the posts with a prompt that have no event, up to the last refresh.

    :raises LakeError: the lake can't be read.
    :raises DatabaseError: nothing was published yet, or the posts can't be read.
    """
    return _go_through(installation, grace, tracks=False)


def track_missing(installation: Installation, grace: dt.timedelta = GRACE) -> CoverageReport:
    """Appends an event for each post with a prompt that has none, and brings the stats up to date.

    An event has the post's time, and an id that follows from the post's, so that no post is counted twice.
    ``success`` is true for a post with an image, else unknown.

    :raises LakeError: the lake can't be read, or lacks days; then no post is taken for one without an event.
    """
    refresh(installation)
    report = _go_through(installation, grace, tracks=True)
    if report.tracked:
        refresh(installation)
    return report


def _go_through(installation: Installation, grace: dt.timedelta, *, tracks: bool) -> CoverageReport:
    with installation.database.engine.connect() as connection:
        latest = source.latest_refresh(connection)
    if latest is None:
        raise DatabaseError(
            "Looking for posts without an event",
            "nothing has been published yet",
            "Run prompt-stats refresh",
        )
    post_count, missing = _not_in_the_lake(installation, grace)
    times: list[dt.datetime] = []
    rejected = 0
    with installation.database.connect(row_factory=dict_row) as connection:
        for start in range(0, len(missing), POSTS_PER_BATCH):
            given = {
                "post_ids": missing[start : start + POSTS_PER_BATCH],
                "high": latest["high"],
                "open_until": latest["open_until"],
            }
            posts = connection.execute(UNTRACKED_POSTS, given).fetchall()
            times += [post["created_at"] for post in posts]
            if tracks:
                events = [read_event(_event_of(post)) for post in posts]
                rejected += len(append_events(connection, events).rejected)
                connection.commit()
                logger.info("%d of %d posts tracked", len(times) - rejected, len(missing))
    tracked = len(times) - rejected if tracks else 0
    return CoverageReport(
        post_count, len(times), min(times, default=None), max(times, default=None), tracked, rejected
    )


def _not_in_the_lake(installation: Installation, grace: dt.timedelta) -> tuple[int, list[str]]:
    """The number of posts, and the ids of those without an event in the lake."""
    until = dt.datetime.now(dt.UTC) - grace
    with (
        installation.database.adbc("Looking for posts without an event") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(POSTS_WITH_PROMPT, (until,))
        posts: pa.Table = cursor.fetch_arrow_table()
    found = duckdb_engine.run(
        "missing_posts", posts=ds.dataset(posts), usage_events=open_own_events(installation).scan()
    )
    return posts.num_rows, found["post_id"].to_list()


def _event_of(post: dict[str, Any]) -> dict[str, Any]:
    return {**post, "event_id": uuid.uuid5(NAMESPACE, str(post["post_id"]))}
