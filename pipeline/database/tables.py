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

from pipeline.limits import NOTE_MAX_LENGTH

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
        comment="Identifies the row for logical replication. It changes whenever the row is written.",
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
            comment="Events with a generation time: the sample of the mean and the percentiles.",
        ),
        Column(
            "min_generation_time_ms",
            BigInteger,
            comment="Shortest generation time in milliseconds; NULL if no event has one.",
        ),
        Column(
            "max_generation_time_ms",
            BigInteger,
            comment="Longest generation time in milliseconds; NULL if no event has one.",
        ),
    ]


def _percentiles() -> list[Column[object]]:
    return [
        Column(
            "p50_generation_time_ms",
            Double,
            comment="Median time in milliseconds, within 2 % of percentile_disc; NULL if no event has one.",
        ),
        Column(
            "p90_generation_time_ms",
            Double,
            comment="90th percentile in milliseconds, within 2 %; NULL if no event has a time.",
        ),
        Column(
            "p95_generation_time_ms",
            Double,
            comment="95th percentile in milliseconds, within 2 %; NULL if no event has a time.",
        ),
        Column(
            "p99_generation_time_ms",
            Double,
            comment="99th percentile in milliseconds, within 2 %; NULL if no event has a time.",
        ),
    ]


def _window(name: str, comment: str) -> Column[object]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"), comment=comment)


def _of_value() -> list[Column[object]]:
    """What a row by value is about."""
    return [
        Column("prompt_id", UUID, nullable=False, comment="The prompt."),
        Column("dimension", Text, nullable=False, comment="scene, environment or outfit."),
        Column("value", Text, comment="The value. NULL is a group of its own, and so is the empty text."),
    ]


def _windows() -> list[Column[object]]:
    """Use in the periods of whole days that end before as_of, and in those before them."""
    return [
        _window("usage_count_1d", "Events of the last whole day (UTC): the day before that of as_of."),
        Column(
            "usage_count_7d",
            BigInteger,
            nullable=False,
            comment="Events of the last 7 whole days (UTC): those before the day of as_of.",
        ),
        Column(
            "usage_count_30d", BigInteger, nullable=False, comment="Events of the last 30 whole days (UTC)."
        ),
        _window("usage_count_previous_1d", "Events of the day before the one of usage_count_1d."),
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
    Column("name", Text, nullable=False, comment="Name that people see."),
    Column("description", Text, comment="What it is for; NULL without a description."),
    Column("category", Text, comment="Kind, for example portrait; NULL without one."),
    Column("subcategory", Text, comment="Kind within the category, for example selfie; NULL without one."),
    Column("template", Text, nullable=False, comment="The prompt, with {{placeholders}}."),
    Column("negative_prompt", Text, comment="What the image should not show; NULL without one."),
    Column(
        "required_dna",
        JSONB,
        comment="List of the placeholders that the character has to fill; NULL if unknown.",
    ),
    Column("tags", JSONB, comment="List of texts; NULL if there are none."),
    Column("rating", Text, comment="Rating of the content, for example sfw; NULL without one."),
    Column("recommended_workflow", Text, comment="Workflow that suits it best; NULL if any does."),
    Column("aspect_ratio", Text, comment="Width to height, for example 4:5; NULL if any is fine."),
    Column(
        "is_system_prompt",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether it came with the app rather than from a user.",
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
        comment="Whether it is offered: rankings leave out the others. In an app's table, NULL counts"
        " as true.",
    ),
    Column("deleted_at", TIMESTAMP, comment="Time of the soft delete; NULL while the prompt exists."),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When it was written."),
    Column(
        "updated_at",
        TIMESTAMP,
        nullable=False,
        server_default=NOW,
        comment="When it was last edited. Stats do not touch it.",
    ),
    Column(
        "usage_count",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Events of this prompt. The pipeline writes back this column and those below.",
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
        comment="as_of of the refresh that last changed these counters; NULL if none has.",
    ),
    # An id may be of any type; readers name prompts by text.
    Index("prompts_id_text_idx", text("(id::text)")),
    comment="One row per prompt. It belongs to the app, except for the counters, which the pipeline"
    " writes back.",
)

prompt_usage = Table(
    "prompt_usage",
    metadata,
    Column(
        "id",
        UUID,
        primary_key=True,
        server_default=RANDOM_UUID,
        comment="The event's id, given by its producer. Appending the same id again adds nothing.",
    ),
    Column(
        "prompt_id", UUID, nullable=False, comment="Prompt that was used. It may have been deleted since."
    ),
    Column("user_id", UUID, comment="User who used it; NULL if unknown."),
    Column("character_id", UUID, comment="Character that it was used for; NULL if unknown."),
    Column("post_id", UUID, comment="Post that was made; NULL if unknown."),
    Column("job_id", UUID, comment="Job that generated; NULL if unknown."),
    *_context(),
    Column(
        "success",
        Boolean,
        comment="Whether the generation succeeded; NULL counts as neither success nor failure.",
    ),
    Column("generation_time_ms", Integer, comment="Milliseconds; NULL if not measured."),
    Column("error_message", Text, comment="Why it failed; NULL without a message."),
    Column(
        "created_at",
        TIMESTAMP,
        server_default=NOW,
        comment="When the prompt was used; NULL counts on the first day.",
    ),
    Column(
        "ingest_xid",
        BigInteger,
        server_default=text("((pg_current_xact_id())::text)::bigint"),
        comment="Transaction that inserted the row; NULL on rows older than the pipeline. Do not write it.",
    ),
    # A few kilobytes, and next to nothing at insert: all that extraction needs to skip old pages.
    Index(
        "prompt_usage_ingest_brin",
        "ingest_xid",
        "created_at",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on", "pages_per_range": 32},
    ),
    comment="One row per event, which is one use of a prompt. The app appends events and never updates"
    " them. No foreign keys.",
    # Pages that the index has not summarised are read at every tick; by default a fifth of the table may be.
    postgresql_with={
        "autovacuum_vacuum_insert_scale_factor": 0,
        "autovacuum_vacuum_insert_threshold": 100_000,
    },
)

prompt_usage_invalidation = Table(
    "prompt_usage_invalidation",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Increases in the order of arrival.",
    ),
    Column("day", Date, comment="Day (UTC) of the rows that were changed; NULL for undated rows."),
    Column(
        "operation",
        Text,
        nullable=False,
        comment="UPDATE, DELETE or TRUNCATE (every day); from the pipeline RECOUNT or RESCAN (without"
        " the index).",
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
    comment="One row per change of a day's raw events. A trigger writes it; it is removed once it is"
    " published.",
)

prompt_usage_rejected = Table(
    "prompt_usage_rejected",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Number by which prompt-stats rejected lists it.",
    ),
    Column(
        "rejected_at",
        TIMESTAMP,
        nullable=False,
        server_default=NOW,
        comment="When it was rejected; the event's own time is in the payload.",
    ),
    Column("reason", Text, nullable=False, comment="What is wrong with it."),
    Column("payload", JSONB, nullable=False, comment="The event as it was given; it can be replayed."),
    Column(
        "event_id",
        UUID,
        comment="Its id, or a UUID made from its id, so that it is kept only once; NULL on old rows.",
    ),
    UniqueConstraint("event_id", name="prompt_usage_rejected_event_id_key"),
    comment="One row per event that was rejected. It is in no statistic until it is replayed.",
)

prompt_favorites = Table(
    "prompt_favorites",
    metadata,
    Column("id", UUID, primary_key=True, server_default=RANDOM_UUID, comment="The row's id."),
    Column("prompt_id", UUID, nullable=False, comment="Prompt that is a favourite."),
    Column("user_id", UUID, nullable=False, comment="User whose favourite it is."),
    Column(
        "sort_order",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Position in the user's list.",
    ),
    Column(
        "created_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When it became a favourite."
    ),
    UniqueConstraint("prompt_id", "user_id", name="prompt_favorites_prompt_id_user_id_key"),
    comment="One row per user and favourite prompt. It belongs to the app.",
)

prompt_marker = Table(
    "prompt_marker",
    metadata,
    Column("prompt_id", UUID, primary_key=True, comment="The prompt."),
    Column("day", Date, primary_key=True, comment="Day of the change, in the author's time zone."),
    Column("note", Text, nullable=False, comment=f"What was changed: {NOTE_MAX_LENGTH} characters at most."),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When the day was marked."),
    CheckConstraint(f"char_length(note) BETWEEN 1 AND {NOTE_MAX_LENGTH}", name="prompt_marker_note_length"),
    comment="One row per prompt and day on which its author notes a change. Written over HTTP alone.",
)

posts = Table(
    "posts",
    metadata,
    Column("id", UUID, primary_key=True, server_default=RANDOM_UUID, comment="The post's id."),
    Column("user_id", UUID, comment="User who made it; NULL if unknown."),
    Column("character_id", UUID, comment="Character in it; NULL if there is none."),
    Column("job_id", UUID, comment="Job that generated it; NULL if unknown."),
    Column("prompt_id", UUID, comment="Prompt that it was made from; NULL if there was none."),
    *_context(),
    Column("image_url", Text, comment="Where the image is; NULL while there is none."),
    Column("prompt", Text, comment="Text that the image was made from; NULL if unknown."),
    Column("negative_prompt", Text, comment="What the image should not show; NULL without one."),
    Column("created_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When it was made."),
    comment="One row per post. It belongs to the app; the pipeline reads it to find posts without an event.",
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
    comment="One row per prompt, used or not. Only the pipeline writes it.",
)


def _value_stats(name: str, column: str) -> Table:
    return Table(
        name,
        metadata,
        Column("prompt_id", UUID, nullable=False, comment="The prompt."),
        Column(column, Text, comment="The value. NULL is a group of its own, and so is the empty text."),
        *_measures(),
        *_details(),
        _row_id(),
        Index(f"{name}_prompt_id_idx", "prompt_id"),
        comment=f"One row per prompt and {column}. Only the pipeline writes it.",
    )


prompt_scene_stats = _value_stats("prompt_scene_stats", "scene")
prompt_environment_stats = _value_stats("prompt_environment_stats", "environment")
prompt_outfit_stats = _value_stats("prompt_outfit_stats", "outfit")


def _overall_stats(column: str) -> Table:
    return Table(
        f"{column}_stats",
        metadata,
        Column(column, Text, comment="The value. NULL is a group of its own, and so is the empty text."),
        *_measures(),
        *_details(),
        _row_id(),
        comment=f"One row per {column}, over all prompts. Only the pipeline writes it.",
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
    comment="One row per day and prompt. Only the pipeline writes it.",
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
    comment="One row per user and prompt that the user has used, as of user_stats_as_of. Only the pipeline"
    " writes it.",
)

prompt_error_stats = Table(
    "prompt_error_stats",
    metadata,
    Column("prompt_id", UUID, primary_key=True, comment="The prompt."),
    Column("error_kind", Text, primary_key=True, comment="Message with numbers, ids and URLs folded."),
    Column("error_count", BigInteger, nullable=False, comment="Events with such a message."),
    Column("last_seen_at", TIMESTAMP, comment="Time of the latest dated event; NULL without one."),
    comment="One row per prompt and kind of error. Only the pipeline writes it.",
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
    comment="One row per prompt, dimension and value: what is counted once a day from all raw events, as of"
    " value_stats_as_of. Only the pipeline writes it.",
)

prompt_value_error_stats = Table(
    "prompt_value_error_stats",
    metadata,
    *_of_value(),
    Column("error_kind", Text, nullable=False, comment="Message with numbers, ids and URLs folded."),
    Column("error_count", BigInteger, nullable=False, comment="Events with such a message."),
    Column("last_seen_at", TIMESTAMP, comment="Time of the latest dated event; NULL without one."),
    _row_id(),
    Index("prompt_value_error_stats_prompt_id_idx", "prompt_id"),
    comment="One row per prompt, dimension, value and kind of error, as of value_stats_as_of. Only the"
    " pipeline writes it.",
)

stats_day = Table(
    "stats_day",
    metadata,
    Column("day", Date, primary_key=True, comment="Day in UTC."),
    Column("usage_count", BigInteger, nullable=False, comment="Events of the day in the published stats."),
    Column("ingest_xid", BigInteger, nullable=False, comment="Largest ingest_xid among them."),
    Column("events_version", BigInteger, nullable=False, comment="Fingerprint of the day's files."),
    comment="One row per day: what the published stats hold of it.",
)

user_stats_day = Table(
    "user_stats_day",
    metadata,
    Column("day", Date, primary_key=True, comment="Day in UTC."),
    Column("ingest_xid", BigInteger, nullable=False, comment="Largest ingest_xid of the day's events."),
    Column(
        "synced_high",
        BigInteger,
        nullable=False,
        comment="Watermark of the latest sync that read the day again.",
    ),
    Column("events_version", BigInteger, nullable=False, comment="Fingerprint of files and query."),
    Column("rollup_version", BigInteger, nullable=False, comment="Fingerprint of the query."),
    comment="One row per day: what the published stats of users hold of it.",
)

stats_sync = Table(
    "stats_sync",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Increases in the order of the syncs.",
    ),
    Column("high", BigInteger, nullable=False, comment="The sync saw every row with a smaller ingest_xid."),
    Column(
        "next_xid",
        BigInteger,
        nullable=False,
        comment="Everything committed by then has a smaller transaction id.",
    ),
    Column(
        "as_of",
        TIMESTAMP,
        nullable=False,
        comment="Every event committed before it has an ingest_xid below high.",
    ),
    Column("started_at", TIMESTAMP, nullable=False, comment="When the watermark was taken."),
    comment="One row per sync of the last days: which transaction ids had been assigned by when.",
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
    Column("lake_id", BigInteger, nullable=False, comment="Random number that identifies the lake."),
    Column("server", Text, nullable=False, comment="Cluster and database that made the commit."),
    Column(
        "recorded_at",
        TIMESTAMP,
        nullable=False,
        server_default=NOW,
        comment="When it was recorded, which is before the commit.",
    ),
    comment="One row per commit to the lake's raw events that this database knows: the latest one, and later"
    " ones that may have happened.",
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
    Column("table_names", Text, nullable=False, comment="What PROMPT_STATS_TABLES says about prompt_usage."),
    Column("relation", BigInteger, nullable=False, comment="The table's oid."),
    Column(
        "file_node",
        BigInteger,
        nullable=False,
        comment="The table's file; it changes when the table is rewritten.",
    ),
    Column(
        "columns", Text, nullable=False, comment="Number and type of each column, and the labels of enums."
    ),
    Column(
        "triggers", Text, nullable=False, comment="Our triggers, and the transaction that last changed them."
    ),
    Column(
        "unnoted", Text, nullable=False, comment="Why some changes fire no trigger; empty if all changes do."
    ),
    Column(
        "partitions",
        JSONB,
        nullable=False,
        server_default=text("'[]'"),
        comment="The days of each partition, and a fingerprint of what may change without a trigger.",
    ),
    Column(
        "is_watched",
        Boolean,
        nullable=False,
        comment="Whether a trigger notes every change of its rows; if not, each refresh compares every day.",
    ),
    Column(
        "compared_as_of",
        TIMESTAMP,
        nullable=False,
        comment="Every commit before it has been compared with the lake, or needed no comparison.",
    ),
    Column(
        "compared_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When that comparison was made."
    ),
    CheckConstraint("id = 1", name="stats_source_is_one_row"),
    comment="One row: the table and the settings that the events were read with. If one of them has changed,"
    " a"
    " refresh compares every day, or refuses.",
)

stats_expired_day = Table(
    "stats_expired_day",
    metadata,
    Column("day", Date, primary_key=True, comment="Day in UTC."),
    Column("usage_count", BigInteger, nullable=False, comment="Events of the day in the lake."),
    Column("high", BigInteger, nullable=False, comment="All rows with a smaller ingest_xid are in the lake."),
    Column("expired_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When it expired."),
    Column(
        "damaged_at",
        TIMESTAMP,
        comment="When the lake was found not to hold the day's events as it should; NULL while it does.",
    ),
    Column("checksum", BigInteger, comment="Checksum of all values of these events; NULL if unknown."),
    Column(
        "partition",
        Text,
        comment="The partition that was dropped or detached with the rows; NULL if retention removes"
        " the rows.",
    ),
    comment="One row per day whose raw events are removed from prompt_usage, so that only the lake has them.",
)

stats_refresh = Table(
    "stats_refresh",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Increases in the order of the publishes.",
    ),
    Column("high", BigInteger, nullable=False, comment="Every row with a smaller ingest_xid is counted."),
    Column(
        "next_xid",
        BigInteger,
        nullable=False,
        comment="Everything committed by started_at has a smaller transaction id.",
    ),
    Column("as_of", TIMESTAMP, nullable=False, comment="Every event committed before it is counted."),
    Column("started_at", TIMESTAMP, nullable=False, comment="When the watermark was taken."),
    Column(
        "published_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When the stats were written."
    ),
    Column("open_until", Date, nullable=False, comment="Last day whose events are counted."),
    Column("usage_count", BigInteger, nullable=False, comment="Events in the published stats."),
    Column("held_back_count", BigInteger, nullable=False, comment="Events of days after open_until."),
    Column(
        "pending_days",
        JSONB,
        nullable=False,
        comment="List of the days with events that are not counted yet.",
    ),
    Column(
        "rows_written",
        JSONB,
        nullable=False,
        comment="Rows written and deleted, by table; without prompts where write-back was off.",
    ),
    Column("seconds", JSONB, nullable=False, comment="Duration of each step of the publish, in seconds."),
    Column("run_id", Text, comment="The Dagster run; NULL without one."),
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
        comment="Fingerprint of what prompt_value_stats was counted from; NULL if unknown.",
    ),
    Column(
        "stats_version",
        BigInteger,
        comment="Fingerprint of what the stats tables hold and of what made it; NULL if unknown.",
    ),
    Column(
        "write_back_as_of",
        TIMESTAMP,
        comment="as_of of the counters in prompts; NULL before they were written back.",
    ),
    Column(
        "counter_drift",
        JSONB(none_as_null=True),
        comment="At the first publish with write-back after one without: the app's counters in prompts,"
        " and ours;"
        " NULL at other publishes, and where the app had kept no counters.",
    ),
    comment="One row per publish, written in the same transaction as the stats.",
)

stats_alerts = Table(
    "stats_alerts",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Increases in the order in which alerts are raised.",
    ),
    Column("rule", Text, nullable=False, comment="success_rate, generation_time, usage or freshness."),
    Column("scope", Text, nullable=False, comment="What it is about: overall, scene, prompt or stats."),
    Column("prompt_id", UUID(), comment="The prompt; NULL unless the scope is prompt."),
    Column("scene", Text, comment="The scene; NULL for events without a scene, and for another scope."),
    Column(
        "state",
        Text,
        nullable=False,
        comment="The present state: WARNING, ALERT, NO_DATA, or OK once it has recovered.",
    ),
    Column("severity", Text, nullable=False, comment="The worst state so far: WARNING or ALERT."),
    Column(
        "window_hours",
        Integer,
        comment="Length of the window that shows it most clearly; NULL for freshness.",
    ),
    Column("recent_count", BigInteger, comment="Events in the window; NULL for freshness."),
    Column(
        "recent_value",
        Double,
        nullable=False,
        comment="Success rate in percent, median generation time in milliseconds, uses, or seconds of lag.",
    ),
    Column(
        "past_count",
        BigInteger,
        comment="Events in the past period that it is compared with; NULL for freshness.",
    ),
    Column("past_value", Double, comment="The same measure in the past period; NULL for freshness."),
    Column("effect", Double, comment="Size of the difference, where 1 raises a warning; NULL for freshness."),
    Column("q_value", Double, comment="False-discovery rate at which it is found; NULL for freshness."),
    Column("as_of", TIMESTAMP, nullable=False, comment="Events up to this moment were evaluated."),
    Column("evaluated_at", TIMESTAMP, nullable=False, comment="When it was last evaluated."),
    Column("raised_at", TIMESTAMP, nullable=False, comment="When it was raised."),
    Column("fine_since", TIMESTAMP, comment="Since when no window has shown it; NULL while one does."),
    Column("recovered_at", TIMESTAMP, comment="When it recovered; NULL while it is raised."),
    Column("notified_at", TIMESTAMP, comment="When people were last notified of it; NULL if never."),
    Column("notified_severity", Text, comment="The severity that they were notified of; NULL if never."),
    Column(
        "silenced_until",
        TIMESTAMP,
        comment="No notification is sent before this moment; NULL if it is not silenced.",
    ),
    comment="One row per alert: a series that is worse than its past, until it recovers. Then the row"
    " stays as"
    " history. The job evaluate_alerts writes it.",
)

stats_alert_evaluation = Table(
    "stats_alert_evaluation",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Increases in the order of the evaluations.",
    ),
    Column("evaluated_at", TIMESTAMP, nullable=False, comment="When the alerts were evaluated."),
    Column(
        "as_of",
        TIMESTAMP,
        nullable=False,
        comment="as_of of the stats: events up to this moment were evaluated.",
    ),
    Column("tested_count", BigInteger, nullable=False, comment="Series and rules that could be tested."),
    Column("raised_count", BigInteger, nullable=False, comment="Alerts that were raised, or stayed raised."),
    comment="One row per evaluation of the alerts in the last 30 days.",
)

stats_alert_message = Table(
    "stats_alert_message",
    metadata,
    Column(
        "id",
        UUID(),
        primary_key=True,
        comment="Sent with the message, so that a receiver can recognise a repetition.",
    ),
    Column("channel", Text, nullable=False, comment="webhook or email."),
    Column("created_at", TIMESTAMP, nullable=False, comment="When it was written."),
    Column("content", JSONB, nullable=False, comment="What is sent."),
    Column(
        "sent_at", TIMESTAMP, comment="When the receiver acknowledged it; NULL while it is still to be sent."
    ),
    Column("attempt_count", Integer, nullable=False, comment="How often sending was tried."),
    Column("failure", Text, comment="Why the last attempt failed; NULL if none has failed."),
    comment="One row per message and channel. A message that could not be sent is tried again for a week.",
)

stats_schema_change = Table(
    "stats_schema_change",
    metadata,
    Column(
        "id",
        BigInteger,
        Identity(always=True),
        primary_key=True,
        comment="Increases in the order of the steps.",
    ),
    Column("changed_at", TIMESTAMP, nullable=False, server_default=NOW, comment="When the step was taken."),
    Column("what", Text, nullable=False, unique=True, comment="What the step did."),
    Column("undo", JSONB, nullable=False, comment="List of the statements that take it back."),
    comment="One row per change that migrate made to the app's tables; migrate --undo takes them back.",
)

stats_freshness = Table(
    "stats_freshness",
    views,
    Column(
        "refresh_id",
        BigInteger,
        comment="id of the latest row of stats_refresh; NULL before the first refresh.",
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
        comment="Number of days with events that are not counted yet; NULL before the first refresh.",
    ),
    Column("pending_days", JSONB, comment="List of these days; NULL before the first refresh."),
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
        comment="When the watermark of the latest refresh was taken; NULL before the first refresh.",
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
