"""The schema of Postgres, as SQLAlchemy metadata: its one source.

``migrations/`` is checked against it by a test. Comments are the documentation of tables and columns: they
are kept in the database, and ``docs/tables.md`` is made of them.
Names follow ``docs/naming.md``: units in the name, ``is_`` and ``_at``.

The trigger that notes changed days (``prompt_usage_invalidation``) is not expressible here; it is in
``pipeline.adoption.plan``, which brings the app's four tables to what is here. Our own are migrated.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

metadata = MetaData()

views = MetaData()
"""What reads like a table, and is a view that a migration makes."""

TIMESTAMP = DateTime(timezone=True)
RANDOM_UUID = text("gen_random_uuid()")
NOW = text("now()")


ROW_ID = "row_id"
"""The key of tables whose groups have none, since NULL is one of them: for replication, not for readers."""


def _row_id() -> Column[int]:
    return Column(
        ROW_ID,
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="By which logical replication knows the row; another one whenever the row is written.",
    )


def _context() -> list[Column[str]]:
    return [
        Column("scene", Text, comment="Scene of the generation; NULL when none was given."),
        Column("environment", Text, comment="Environment of the generation; NULL when none was given."),
        Column("outfit", Text, comment="Outfit of the generation; NULL when none was given."),
    ]


def _measures() -> list[Column[object]]:
    """The measures that every group of events has."""
    return [
        Column("usage_count", BigInteger, nullable=False, comment="Events: count(*)."),
        Column("success_count", BigInteger, nullable=False, comment="Events with success = true."),
        Column("failure_count", BigInteger, nullable=False, comment="Events with success = false."),
        Column(
            "success_rate", Double, comment="Percent: success_count / usage_count * 100; NULL without events."
        ),
        Column(
            "avg_generation_time_ms",
            Double,
            comment="Mean generation time in milliseconds over the events that have one, else NULL.",
        ),
        Column("last_used_at", TIMESTAMP, comment="Time of the latest dated event; NULL without one."),
    ]


def _details() -> list[Column[object]]:
    """How far the measures of a group go, and how sure they are."""
    return [
        Column("first_used_at", TIMESTAMP, comment="Time of the earliest dated event; NULL without one."),
        Column(
            "success_rate_lower",
            Double,
            comment="Percent: lower end of the rate's 95 % Wilson interval; NULL without events.",
        ),
        Column(
            "success_rate_upper",
            Double,
            comment="Percent: upper end of the rate's 95 % Wilson interval; NULL without events.",
        ),
        Column(
            "timed_count",
            BigInteger,
            nullable=False,
            server_default=text("0"),
            comment="Events with a generation time: what the mean and the percentiles are of.",
        ),
        Column(
            "min_generation_time_ms",
            BigInteger,
            comment="Shortest generation time in milliseconds; NULL if none was timed.",
        ),
        Column(
            "max_generation_time_ms",
            BigInteger,
            comment="Longest generation time in milliseconds; NULL if none was timed.",
        ),
    ]


def _percentiles() -> list[Column[object]]:
    return [
        Column(
            "p50_generation_time_ms",
            Double,
            comment="Median time in milliseconds, within 2 % of percentile_disc; NULL if none was timed.",
        ),
        Column(
            "p90_generation_time_ms",
            Double,
            comment="90th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
        Column(
            "p95_generation_time_ms",
            Double,
            comment="95th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
        Column(
            "p99_generation_time_ms",
            Double,
            comment="99th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
    ]


def _window(name: str, comment: str) -> Column[object]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"), comment=comment)


def _of_value() -> list[Column[object]]:
    """What a row by value is about."""
    return [
        Column("prompt_id", UUID, nullable=False, comment="The prompt."),
        Column("dimension", Text, nullable=False, comment="scene, environment or outfit."),
        Column("value", Text, comment="NULL is a group of its own, the empty text is another."),
    ]


def _windows() -> list[Column[object]]:
    """Use in the periods of whole days that end before as_of, and in those before them."""
    return [
        _window("usage_count_1d", "Events of the last whole day: that before as_of (UTC)."),
        Column(
            "usage_count_7d",
            BigInteger,
            nullable=False,
            comment="Events of the last 7 whole days (UTC), without that of as_of.",
        ),
        Column("usage_count_30d", BigInteger, nullable=False, comment="Events of the last 30 whole days."),
        _window("usage_count_previous_1d", "Events of the day before that of usage_count_1d."),
        _window("usage_count_previous_7d", "Events of the 7 days before usage_count_7d."),
        _window("usage_count_previous_30d", "Events of the 30 days before usage_count_30d."),
    ]


prompts = Table(
    "prompts",
    metadata,
    Column("id", UUID, primary_key=True, server_default=RANDOM_UUID, comment="The prompt's id."),
    Column(
        "slug",
        Text,
        unique=True,
        comment="Readable key, for example portrait-selfie-casual; NULL without one.",
    ),
    Column("created_by", UUID, comment="User who wrote the prompt; NULL for a system prompt."),
    Column("name", Text, nullable=False, comment="Name for people."),
    Column("description", Text, comment="What it is for; NULL if nobody said."),
    Column("category", Text, comment="Kind, for example portrait; NULL without one."),
    Column("subcategory", Text, comment="Kind within the category, for example selfie; NULL without one."),
    Column("template", Text, nullable=False, comment="The prompt, with {{placeholders}}."),
    Column("negative_prompt", Text, comment="What the image shall not show; NULL if nothing was said."),
    Column(
        "required_dna", JSONB, comment="Placeholders that the character has to fill: a list; NULL if unknown."
    ),
    Column("tags", JSONB, comment="A list of texts; NULL if there are none."),
    Column("rating", Text, comment="Rating of the content, for example sfw; NULL if nobody said."),
    Column("recommended_workflow", Text, comment="Workflow that suits it best; NULL if any does."),
    Column("aspect_ratio", Text, comment="Width to height, for example 4:5; NULL if any will do."),
    Column(
        "is_system_prompt",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether it came with the app, and not from a user.",
    ),
    Column(
        "is_public",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="Whether every user may use it.",
    ),
    Column(
        "is_active",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="Whether it is offered; rankings leave others out. NULL, in an app's table, counts as true.",
    ),
    Column("deleted_at", TIMESTAMP, comment="Time of the soft delete; NULL while the prompt lives."),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When it was written."),
    Column(
        "updated_at",
        TIMESTAMP,
        nullable=False,
        server_default=NOW,
        comment="When it was last edited; not touched by stats.",
    ),
    Column(
        "usage_count",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Events of this prompt. Written back by the pipeline, as are the columns below.",
    ),
    Column(
        "success_count",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Events with success = true.",
    ),
    Column(
        "failure_count",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Events with success = false.",
    ),
    Column(
        "success_rate", Double, comment="Percent: success_count / usage_count * 100; NULL when never used."
    ),
    Column(
        "avg_generation_time_ms",
        Double,
        comment="Mean generation time in milliseconds; NULL when never timed.",
    ),
    Column("last_used_at", TIMESTAMP, comment="Time of the latest dated event; NULL without one."),
    Column(
        "favorite_count",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Users who have it as a favourite.",
    ),
    Column(
        "stats_as_of",
        TIMESTAMP,
        comment="as_of of the refresh that last changed these counters; NULL before any did.",
    ),
    # An id may be of any type; readers name prompts by text.
    Index("prompts_id_text_idx", text("(id::text)")),
    comment="One row a prompt. The app's, but for the counters, which the pipeline writes back.",
)

prompt_usage = Table(
    "prompt_usage",
    metadata,
    Column(
        "id",
        UUID,
        primary_key=True,
        server_default=RANDOM_UUID,
        comment="The event's id, from its producer: the same id twice is the same event.",
    ),
    Column("prompt_id", UUID, nullable=False, comment="Prompt that was used; it need not exist any more."),
    Column("user_id", UUID, comment="User who used it; NULL if unknown."),
    Column("character_id", UUID, comment="Character that it was used for; NULL if unknown."),
    Column("post_id", UUID, comment="Post that was made; NULL if unknown."),
    Column("job_id", UUID, comment="Job that generated; NULL if unknown."),
    *_context(),
    Column(
        "success", Boolean, comment="Whether the generation succeeded; NULL is neither success nor failure."
    ),
    Column("generation_time_ms", Integer, comment="Milliseconds; NULL if not measured."),
    Column("error_message", Text, comment="Why it failed; NULL if nothing was said."),
    Column(
        "created_at",
        TIMESTAMP,
        server_default=NOW,
        comment="When the prompt was used; NULL is counted on the first day.",
    ),
    Column(
        "ingest_xid",
        BigInteger,
        server_default=text("((pg_current_xact_id())::text)::bigint"),
        comment="Transaction that inserted the row. NULL on rows older than the pipeline. Do not write.",
    ),
    # A few kilobytes, and next to nothing at insert: all that extraction needs to skip old pages.
    Index(
        "prompt_usage_ingest_brin",
        "ingest_xid",
        "created_at",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on", "pages_per_range": 32},
    ),
    comment="One row an event, a use of a prompt: appended by the app, never updated by it. No foreign keys.",
    # Pages that the index has not summarised are read at every tick; by default a fifth of the table may be.
    postgresql_with={
        "autovacuum_vacuum_insert_scale_factor": 0,
        "autovacuum_vacuum_insert_threshold": 100_000,
    },
)

prompt_usage_invalidation = Table(
    "prompt_usage_invalidation",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="In the order of arrival."),
    Column("day", Date, comment="Day (UTC) of rows that were changed; NULL for undated rows."),
    Column(
        "operation",
        Text,
        nullable=False,
        comment="UPDATE, DELETE, TRUNCATE (of every day); by the pipeline RECOUNT or RESCAN (without index).",
    ),
    Column(
        "xid",
        BigInteger,
        nullable=False,
        server_default=text("((pg_current_xact_id())::text)::bigint"),
        comment="Transaction that changed the rows.",
    ),
    Column(
        "invalidated_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When they were changed."
    ),
    Index("prompt_usage_invalidation_xid_idx", "xid"),
    comment="One row a change of a day's raw rows: written by a trigger, removed once published.",
)

prompt_usage_rejected = Table(
    "prompt_usage_rejected",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="By which prompt-stats rejected names it.",
    ),
    Column(
        "rejected_at",
        TIMESTAMP,
        nullable=False,
        server_default=NOW,
        comment="When it was rejected; the event's own time is in the payload.",
    ),
    Column("reason", Text, nullable=False, comment="What is wrong with it."),
    Column("payload", JSONB, nullable=False, comment="The event as it was given, replayable."),
    Column("event_id", UUID, comment="By which it is kept once: its id, or a UUID made of it; NULL if old."),
    UniqueConstraint("event_id", name="prompt_usage_rejected_event_id_key"),
    comment="One row an event that could not be taken. In no statistic until it is replayed.",
)

prompt_favorites = Table(
    "prompt_favorites",
    metadata,
    Column("id", UUID, primary_key=True, server_default=RANDOM_UUID, comment="The row's id."),
    Column("prompt_id", UUID, nullable=False, comment="Prompt that is a favourite."),
    Column("user_id", UUID, nullable=False, comment="User whose favourite it is."),
    Column(
        "sort_order", Integer, nullable=False, server_default=text("0"), comment="Place in the user's list."
    ),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When it became one."),
    UniqueConstraint("prompt_id", "user_id", name="prompt_favorites_prompt_id_user_id_key"),
    comment="One row a user and favourite prompt. The app's.",
)

posts = Table(
    "posts",
    metadata,
    Column("id", UUID, primary_key=True, server_default=RANDOM_UUID, comment="The post's id."),
    Column("user_id", UUID, comment="User who made it; NULL if unknown."),
    Column("character_id", UUID, comment="Character in it; NULL if there is none."),
    Column("job_id", UUID, comment="Job that generated it; NULL if unknown."),
    Column("prompt_id", UUID, comment="Prompt that it was made from; NULL if from none."),
    *_context(),
    Column("image_url", Text, comment="Where the image is; NULL while there is none."),
    Column("prompt", Text, comment="Text that the image was made from; NULL if unknown."),
    Column("negative_prompt", Text, comment="What the image should not show; NULL if nothing was said."),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When it was made."),
    comment="One row a post. The app's; read to find posts that no event is about.",
)

prompt_stats = Table(
    "prompt_stats",
    metadata,
    Column("prompt_id", UUID, primary_key=True, comment="The prompt."),
    *_measures(),
    *_details(),
    *_percentiles(),
    Column("unique_users", BigInteger, nullable=False, comment="Distinct users, as of user_stats_as_of."),
    *_windows(),
    Column("favorite_count", BigInteger, nullable=False, comment="Users who have it as a favourite."),
    Column("stats_as_of", TIMESTAMP, nullable=False, comment="as_of of the refresh that wrote the row."),
    Index("prompt_stats_most_used_idx", text("usage_count DESC"), text("success_count DESC"), "prompt_id"),
    comment="One row a prompt, used or not. Replaced by the pipeline alone.",
)


def _value_stats(name: str, column: str) -> Table:
    return Table(
        name,
        metadata,
        Column("prompt_id", UUID, nullable=False, comment="The prompt."),
        Column(column, Text, comment="NULL is a group of its own, the empty text is another."),
        *_measures(),
        *_details(),
        _row_id(),
        Index(f"{name}_prompt_id_idx", "prompt_id"),
        comment=f"One row a prompt and {column}. Replaced by the pipeline alone.",
    )


prompt_scene_stats = _value_stats("prompt_scene_stats", "scene")
prompt_environment_stats = _value_stats("prompt_environment_stats", "environment")
prompt_outfit_stats = _value_stats("prompt_outfit_stats", "outfit")


def _overall_stats(column: str) -> Table:
    return Table(
        f"{column}_stats",
        metadata,
        Column(column, Text, comment="NULL is a group of its own, the empty text is another."),
        *_measures(),
        *_details(),
        _row_id(),
        comment=f"One row for each {column}, over all prompts. Replaced by the pipeline alone.",
    )


scene_stats = _overall_stats("scene")
environment_stats = _overall_stats("environment")
outfit_stats = _overall_stats("outfit")

prompt_daily_stats = Table(
    "prompt_daily_stats",
    metadata,
    Column("day", Date, primary_key=True, comment="Day in UTC."),
    Column("prompt_id", UUID, primary_key=True, comment="The prompt."),
    *_measures(),
    Index("prompt_daily_stats_prompt_id_idx", "prompt_id"),
    comment="One row a day and prompt. Replaced by the pipeline alone.",
)

user_prompt_stats = Table(
    "user_prompt_stats",
    metadata,
    Column("user_id", UUID, primary_key=True, comment="The user."),
    Column("prompt_id", UUID, primary_key=True, comment="The prompt."),
    *_measures(),
    Column(
        "is_favorite",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether the user has it as a favourite.",
    ),
    Index("user_prompt_stats_prompt_id_idx", "prompt_id"),
    Index("user_prompt_stats_favorites_idx", "user_id", "prompt_id", postgresql_where=text("is_favorite")),
    comment="One row a user and prompt that the user used, as of user_stats_as_of. Replaced by the pipeline"
    " alone.",
)

prompt_error_stats = Table(
    "prompt_error_stats",
    metadata,
    Column("prompt_id", UUID, primary_key=True, comment="The prompt."),
    Column("error_kind", Text, primary_key=True, comment="Message with numbers, ids and URLs folded."),
    Column("error_count", BigInteger, nullable=False, comment="Events with such a message."),
    Column("last_seen_at", TIMESTAMP, comment="Time of the latest dated one; NULL without one."),
    comment="One row a prompt and kind of error. Replaced by the pipeline alone.",
)

prompt_value_stats = Table(
    "prompt_value_stats",
    metadata,
    *_of_value(),
    Column("usage_count", BigInteger, nullable=False, comment="Events: count(*), as of value_stats_as_of."),
    Column("timed_count", BigInteger, nullable=False, comment="Events with a generation time."),
    *_percentiles(),
    Column("unique_users", BigInteger, nullable=False, comment="Distinct users."),
    *_windows(),
    _row_id(),
    Index("prompt_value_stats_prompt_id_idx", "prompt_id"),
    comment="One row a prompt, dimension and value: what is counted once a day from all raw events, as of"
    " value_stats_as_of. Replaced by the pipeline alone.",
)

prompt_value_error_stats = Table(
    "prompt_value_error_stats",
    metadata,
    *_of_value(),
    Column("error_kind", Text, nullable=False, comment="Message with numbers, ids and URLs folded."),
    Column("error_count", BigInteger, nullable=False, comment="Events with such a message."),
    Column("last_seen_at", TIMESTAMP, comment="Time of the latest dated one; NULL without one."),
    _row_id(),
    Index("prompt_value_error_stats_prompt_id_idx", "prompt_id"),
    comment="One row a prompt, dimension, value and kind of error, as of value_stats_as_of. Replaced by"
    " the pipeline alone.",
)

stats_day = Table(
    "stats_day",
    metadata,
    Column("day", Date, primary_key=True, comment="Day in UTC."),
    Column("usage_count", BigInteger, nullable=False, comment="Events of the day in the published stats."),
    Column("ingest_xid", BigInteger, nullable=False, comment="Largest ingest_xid among them."),
    Column("events_version", BigInteger, nullable=False, comment="Fingerprint of the day's files."),
    comment="One row a day: what the published stats hold of it.",
)

user_stats_day = Table(
    "user_stats_day",
    metadata,
    Column("day", Date, primary_key=True, comment="Day in UTC."),
    Column("ingest_xid", BigInteger, nullable=False, comment="Largest ingest_xid of the day's events."),
    Column("synced_high", BigInteger, nullable=False, comment="Watermark since which none was read again."),
    Column("events_version", BigInteger, nullable=False, comment="Fingerprint of files and query."),
    Column("rollup_version", BigInteger, nullable=False, comment="Fingerprint of the query alone."),
    comment="One row a day: what the published stats of users hold of it.",
)

stats_sync = Table(
    "stats_sync",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="In the order of the syncs."),
    Column("high", BigInteger, nullable=False, comment="Every row with a smaller ingest_xid was there."),
    Column("next_xid", BigInteger, nullable=False, comment="What was committed then has a smaller id."),
    Column("as_of", TIMESTAMP, nullable=False, comment="Every event committed before it is below high."),
    Column("started_at", TIMESTAMP, nullable=False, comment="When the watermark was taken."),
    comment="One row a sync of the last days: which transaction ids had been given out when.",
)

stats_lake_token = Table(
    "stats_lake_token",
    metadata,
    Column(
        "token",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Random number that the commit carries.",
    ),
    Column("lake_id", BigInteger, nullable=False, comment="Random number that the lake is known by."),
    Column("server", Text, nullable=False, comment="Cluster and database that made the commit."),
    Column("recorded_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When, before the commit."),
    comment="One row per commit to the lake's raw events that this database knows: the latest, and those"
    " since that may have been made.",
)

stats_source = Table(
    "stats_source",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="Always 1: there is one row."),
    Column(
        "first_day",
        Date,
        nullable=False,
        comment="PROMPT_STATS_START_DATE: earlier and undated events count on this day.",
    ),
    Column("table_names", Text, nullable=False, comment="PROMPT_STATS_TABLES, as far as prompt_usage goes."),
    Column("relation", BigInteger, nullable=False, comment="The table's oid."),
    Column("file_node", BigInteger, nullable=False, comment="Its file: another one after it was rewritten."),
    Column("columns", Text, nullable=False, comment="Number and type of each column, labels of enums."),
    Column("triggers", Text, nullable=False, comment="Our triggers, and which transaction changed them."),
    Column("unnoted", Text, nullable=False, comment="Why some changes fire no trigger; empty if all do."),
    Column(
        "partitions",
        JSONB,
        nullable=False,
        server_default=text("'[]'"),
        comment="Its partitions: the days of each, a fingerprint of what may change without a trigger.",
    ),
    Column(
        "is_watched",
        Boolean,
        nullable=False,
        comment="Whether every change of its rows is noted by a trigger; if not, each refresh compares all.",
    ),
    Column(
        "compared_as_of",
        TIMESTAMP,
        nullable=False,
        comment="Every commit before it was compared with the lake, or needed no comparison.",
    ),
    Column("compared_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When that was done."),
    CheckConstraint("id = 1", name="stats_source_is_one_row"),
    comment="One row: which table the events were read from, by which settings. Where one of these is another"
    " now, a refresh compares every day, or refuses.",
)

stats_expired_day = Table(
    "stats_expired_day",
    metadata,
    Column("day", Date, primary_key=True, comment="Day in UTC."),
    Column("usage_count", BigInteger, nullable=False, comment="Events of the day in the lake."),
    Column("high", BigInteger, nullable=False, comment="Rows with a smaller ingest_xid are in the lake."),
    Column("expired_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When it expired."),
    Column(
        "damaged_at",
        TIMESTAMP,
        comment="When it was found that the lake does not hold them as it should; NULL while it does.",
    ),
    Column("checksum", BigInteger, comment="Checksum of all values of these events; NULL: not known."),
    Column(
        "partition",
        Text,
        comment="The partition that was dropped or detached with the rows; NULL: retention removes them.",
    ),
    comment="One row a day whose raw rows retention removes from prompt_usage: the lake alone has them.",
)

stats_refresh = Table(
    "stats_refresh",
    metadata,
    Column(
        "id", BigInteger, Identity(always=True), primary_key=True, comment="In the order of the publishes."
    ),
    Column("high", BigInteger, nullable=False, comment="Every row with a smaller ingest_xid is counted."),
    Column(
        "next_xid",
        BigInteger,
        nullable=False,
        comment="What was committed at started_at has a smaller transaction id.",
    ),
    Column("as_of", TIMESTAMP, nullable=False, comment="Every event committed before it is counted."),
    Column("started_at", TIMESTAMP, nullable=False, comment="When the watermark was taken."),
    Column(
        "published_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When the stats were written."
    ),
    Column("open_until", Date, nullable=False, comment="Last day whose events are counted."),
    Column("usage_count", BigInteger, nullable=False, comment="Events in the published stats."),
    Column("held_back_count", BigInteger, nullable=False, comment="Events of days after open_until."),
    Column("pending_days", JSONB, nullable=False, comment="Days with events not yet counted: a list."),
    Column(
        "rows_written",
        JSONB,
        nullable=False,
        comment="Rows written and deleted, by table; prompts is missing where it was left alone.",
    ),
    Column("seconds", JSONB, nullable=False, comment="Duration of each step of the publish, in seconds."),
    Column("run_id", Text, comment="The Dagster run; NULL where there was none."),
    Column(
        "user_stats_as_of",
        TIMESTAMP,
        comment="as_of of user_prompt_stats and of unique_users; NULL before they were counted.",
    ),
    Column(
        "value_stats_as_of",
        TIMESTAMP,
        comment="as_of of prompt_value_stats; NULL before they were counted.",
    ),
    Column(
        "value_stats_version",
        BigInteger,
        comment="Fingerprint of what prompt_value_stats was counted from; NULL: not known.",
    ),
    Column(
        "stats_version",
        BigInteger,
        comment="Fingerprint of what the stats tables hold and of what made it; NULL: not known.",
    ),
    Column(
        "write_back_as_of",
        TIMESTAMP,
        comment="as_of of the counters in prompts; NULL before they were written back.",
    ),
    Column(
        "counter_drift",
        JSONB(none_as_null=True),
        comment="What the counters in prompts had, and what is counted, at a publish that wrote them back"
        " after one that did not; NULL at others, and where nobody had kept counters.",
    ),
    comment="One row a publish, written in the same transaction as the stats.",
)

stats_alerts = Table(
    "stats_alerts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="In the order of raising."),
    Column("rule", Text, nullable=False, comment="success_rate, generation_time, usage or freshness."),
    Column("scope", Text, nullable=False, comment="What it is about: overall, scene, prompt or stats."),
    Column("prompt_id", UUID(), comment="The prompt; NULL but for scope prompt."),
    Column("scene", Text, comment="The scene; NULL is that of events without one, or another scope."),
    Column("state", Text, nullable=False, comment="Now: WARNING, ALERT, NO_DATA, or OK once recovered."),
    Column("severity", Text, nullable=False, comment="The worst that it was: WARNING or ALERT."),
    Column("window_hours", Integer, comment="Length of the window that shows it best; NULL for freshness."),
    Column("recent_count", BigInteger, comment="Events in the window; NULL for freshness."),
    Column(
        "recent_value",
        Double,
        nullable=False,
        comment="Success rate in percent, median generation time in milliseconds, uses, or seconds of lag.",
    ),
    Column(
        "past_count", BigInteger, comment="Events in the past that it is compared with; NULL for freshness."
    ),
    Column("past_value", Double, comment="What recent_value was in the past; NULL for freshness."),
    Column("effect", Double, comment="How large the difference is; 1 raises a warning. NULL for freshness."),
    Column("q_value", Double, comment="False-discovery rate at which it is found; NULL for freshness."),
    Column("as_of", TIMESTAMP, nullable=False, comment="Up to when events were looked at."),
    Column("evaluated_at", TIMESTAMP, nullable=False, comment="When it was last looked at."),
    Column("raised_at", TIMESTAMP, nullable=False, comment="When it was raised."),
    Column("fine_since", TIMESTAMP, comment="Since when nothing speaks for it; NULL while something does."),
    Column("recovered_at", TIMESTAMP, comment="When it was over; NULL while it is raised."),
    Column("notified_at", TIMESTAMP, comment="When people were last told of it; NULL if never."),
    Column("notified_severity", Text, comment="The severity that they were told of; NULL if never."),
    Column("silenced_until", TIMESTAMP, comment="Nobody is told of it before; NULL: not silenced."),
    comment="One row an alert, from when a series was found worse than its past until it recovered; then it"
    " stays as history. Written by the job evaluate_alerts.",
)

stats_alert_evaluation = Table(
    "stats_alert_evaluation",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="In their order."),
    Column("evaluated_at", TIMESTAMP, nullable=False, comment="When the alerts were evaluated."),
    Column(
        "as_of", TIMESTAMP, nullable=False, comment="Up to when events were looked at: as_of of the stats."
    ),
    Column("tested_count", BigInteger, nullable=False, comment="Series and rules that could be tested."),
    Column("raised_count", BigInteger, nullable=False, comment="Alerts that were raised or stayed so."),
    comment="One row an evaluation of the alerts in the last 30 days.",
)

stats_alert_message = Table(
    "stats_alert_message",
    metadata,
    Column("id", UUID(), primary_key=True, comment="Sent along, so that a receiver can tell a repetition."),
    Column("channel", Text, nullable=False, comment="webhook or email."),
    Column("created_at", TIMESTAMP, nullable=False, comment="When it was written."),
    Column("content", JSONB, nullable=False, comment="What is sent."),
    Column("sent_at", TIMESTAMP, comment="When the receiver acknowledged it; NULL: still to be sent."),
    Column("attempt_count", Integer, nullable=False, comment="How often it was tried."),
    Column("failure", Text, comment="Why the last attempt failed; NULL if none did."),
    comment="One row a message and channel. What could not be sent is tried again for a week.",
)

stats_schema_change = Table(
    "stats_schema_change",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="In the order of the steps."),
    Column("changed_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When the step was taken."),
    Column("what", Text, nullable=False, unique=True, comment="What the step did."),
    Column("undo", JSONB, nullable=False, comment="The statements that take it back: a list."),
    comment="One row for each thing that migrate added to the app's tables; migrate --undo takes them back.",
)

stats_freshness = Table(
    "stats_freshness",
    views,
    Column(
        "refresh_id",
        BigInteger,
        comment="id of the latest row of stats_refresh; NULL, as all but is_fresh, before the first.",
    ),
    Column(
        "as_of",
        TIMESTAMP,
        comment="Every event committed before it is counted; NULL before the first refresh.",
    ),
    Column("lag_seconds", Double, comment="Age of as_of now, in seconds; NULL before the first refresh."),
    Column(
        "is_fresh",
        Boolean,
        nullable=False,
        comment="Whether as_of is at most 30 minutes old and no day is pending; never NULL.",
    ),
    Column(
        "pending_day_count",
        Integer,
        comment="Days with events not yet counted; NULL before the first refresh.",
    ),
    Column("pending_days", JSONB, comment="These days: a list; NULL before the first refresh."),
    Column(
        "held_back_count",
        BigInteger,
        comment="Events dated more than a day ahead, not counted yet; NULL before the first refresh.",
    ),
    Column(
        "usage_count", BigInteger, comment="Events in the published stats; NULL before the first refresh."
    ),
    Column(
        "user_stats_as_of",
        TIMESTAMP,
        comment="as_of of user_prompt_stats and of unique_users; NULL before they were counted.",
    ),
    Column(
        "value_stats_as_of",
        TIMESTAMP,
        comment="as_of of prompt_value_stats; NULL before they were counted.",
    ),
    Column(
        "started_at",
        TIMESTAMP,
        comment="When the watermark of the latest refresh was taken; NULL before the first.",
    ),
    Column("published_at", TIMESTAMP, comment="When the stats were written; NULL before the first refresh."),
    comment="One row: how fresh and how complete the stats are now. A view of stats_refresh, for BI tools.",
)

STATS_TABLES = (
    prompt_stats,
    prompt_scene_stats,
    prompt_environment_stats,
    prompt_outfit_stats,
    scene_stats,
    environment_stats,
    outfit_stats,
    prompt_daily_stats,
    prompt_error_stats,
)
"""The tables that every refresh brings up to date, in the order in which they are published."""

VALUE_TABLES = (prompt_value_stats, prompt_value_error_stats)
"""The tables that are counted once a day from all raw events."""


def told(table: Table) -> list[Column[Any]]:
    """The columns that tell readers something: all but the key for replication."""
    return [column for column in table.c if column.name != ROW_ID]
