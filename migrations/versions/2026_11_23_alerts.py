"""The stats tables and those that the pipeline keeps its progress in. The app's are adopted, not migrated.

Why: everything starts here. It is one step since no version was released before it.

Revision: 2026_11_23_alerts, the first.
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_23_alerts"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "environment_stats",
    "outfit_stats",
    "prompt_daily_stats",
    "prompt_environment_stats",
    "prompt_error_stats",
    "prompt_outfit_stats",
    "prompt_scene_stats",
    "prompt_stats",
    "prompt_usage_invalidation",
    "prompt_usage_rejected",
    "prompt_value_error_stats",
    "prompt_value_stats",
    "scene_stats",
    "stats_alert_evaluation",
    "stats_alert_message",
    "stats_alerts",
    "stats_day",
    "stats_expired_day",
    "stats_refresh",
    "stats_sync",
    "user_prompt_stats",
    "user_stats_day",
)


def measures() -> list[sa.Column[object]]:
    """What every group of events has."""
    return [
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
        sa.Column("success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."),
        sa.Column("failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."),
        sa.Column(
            "success_rate",
            sa.Double(),
            nullable=True,
            comment="Percent: success_count / usage_count * 100; NULL without events.",
        ),
        sa.Column(
            "avg_generation_time_ms",
            sa.Double(),
            nullable=True,
            comment="Mean generation time in milliseconds over the events that have one, else NULL.",
        ),
        sa.Column(
            "last_used_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the latest dated event; NULL without one.",
        ),
    ]


def details() -> list[sa.Column[object]]:
    """How far they go, and how sure they are."""
    return [
        sa.Column(
            "first_used_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the earliest dated event; NULL without one.",
        ),
        sa.Column(
            "success_rate_lower",
            sa.Double(),
            nullable=True,
            comment="Percent: lower end of the rate's 95 % Wilson interval; NULL without events.",
        ),
        sa.Column(
            "success_rate_upper",
            sa.Double(),
            nullable=True,
            comment="Percent: upper end of the rate's 95 % Wilson interval; NULL without events.",
        ),
        sa.Column(
            "timed_count",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events with a generation time: what the mean and the percentiles are of.",
        ),
        sa.Column(
            "min_generation_time_ms",
            sa.BigInteger(),
            nullable=True,
            comment="Shortest generation time in milliseconds; NULL if none was timed.",
        ),
        sa.Column(
            "max_generation_time_ms",
            sa.BigInteger(),
            nullable=True,
            comment="Longest generation time in milliseconds; NULL if none was timed.",
        ),
    ]


def percentiles() -> list[sa.Column[object]]:
    """Of the generation times."""
    return [
        sa.Column(
            "p50_generation_time_ms",
            sa.Double(),
            nullable=True,
            comment="Median time in milliseconds, within 2 % of percentile_disc; NULL if none was timed.",
        ),
        sa.Column(
            "p90_generation_time_ms",
            sa.Double(),
            nullable=True,
            comment="90th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
        sa.Column(
            "p95_generation_time_ms",
            sa.Double(),
            nullable=True,
            comment="95th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
        sa.Column(
            "p99_generation_time_ms",
            sa.Double(),
            nullable=True,
            comment="99th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
    ]


def windows() -> list[sa.Column[object]]:
    """Use in periods of whole days."""
    return [
        sa.Column(
            "usage_count_1d",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of the last whole day: that before as_of (UTC).",
        ),
        sa.Column(
            "usage_count_7d",
            sa.BigInteger(),
            nullable=False,
            comment="Events of the last 7 whole days (UTC), without that of as_of.",
        ),
        sa.Column(
            "usage_count_30d", sa.BigInteger(), nullable=False, comment="Events of the last 30 whole days."
        ),
        sa.Column(
            "usage_count_previous_1d",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of the day before that of usage_count_1d.",
        ),
        sa.Column(
            "usage_count_previous_7d",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of the 7 days before usage_count_7d.",
        ),
        sa.Column(
            "usage_count_previous_30d",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of the 30 days before usage_count_30d.",
        ),
    ]


def upgrade() -> None:
    # The app's types of ids, by what they are of.
    ids = context.config.attributes["ids"]
    op.create_table(
        "environment_stats",
        sa.Column(
            "environment",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        *measures(),
        *details(),
        comment="One row for each environment, over all prompts. Replaced by the pipeline alone.",
    )
    op.create_table(
        "outfit_stats",
        sa.Column(
            "outfit",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        *measures(),
        *details(),
        comment="One row for each outfit, over all prompts. Replaced by the pipeline alone.",
    )
    op.create_table(
        "prompt_daily_stats",
        sa.Column("day", sa.Date(), nullable=False, comment="Day in UTC."),
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        *measures(),
        sa.PrimaryKeyConstraint("day", "prompt_id"),
        comment="One row a day and prompt. Replaced by the pipeline alone.",
    )
    op.create_index("prompt_daily_stats_prompt_id_idx", "prompt_daily_stats", ["prompt_id"])
    op.create_table(
        "prompt_environment_stats",
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        sa.Column(
            "environment",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        *measures(),
        *details(),
        comment="One row a prompt and environment. Replaced by the pipeline alone.",
    )
    op.create_index("prompt_environment_stats_prompt_id_idx", "prompt_environment_stats", ["prompt_id"])
    op.create_table(
        "prompt_error_stats",
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        sa.Column(
            "error_kind", sa.Text(), nullable=False, comment="Message with numbers, ids and URLs folded."
        ),
        sa.Column("error_count", sa.BigInteger(), nullable=False, comment="Events with such a message."),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the latest dated one; NULL without one.",
        ),
        sa.PrimaryKeyConstraint("prompt_id", "error_kind"),
        comment="One row a prompt and kind of error. Replaced by the pipeline alone.",
    )
    op.create_table(
        "prompt_outfit_stats",
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        sa.Column(
            "outfit",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        *measures(),
        *details(),
        comment="One row a prompt and outfit. Replaced by the pipeline alone.",
    )
    op.create_index("prompt_outfit_stats_prompt_id_idx", "prompt_outfit_stats", ["prompt_id"])
    op.create_table(
        "prompt_scene_stats",
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        sa.Column(
            "scene",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        *measures(),
        *details(),
        comment="One row a prompt and scene. Replaced by the pipeline alone.",
    )
    op.create_index("prompt_scene_stats_prompt_id_idx", "prompt_scene_stats", ["prompt_id"])
    op.create_table(
        "prompt_stats",
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        *measures(),
        *details(),
        *percentiles(),
        sa.Column(
            "unique_users", sa.BigInteger(), nullable=False, comment="Distinct users, as of user_stats_as_of."
        ),
        *windows(),
        sa.Column(
            "favorite_count", sa.BigInteger(), nullable=False, comment="Users who have it as a favourite."
        ),
        sa.Column(
            "stats_as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="as_of of the refresh that wrote the row.",
        ),
        sa.PrimaryKeyConstraint("prompt_id"),
        comment="One row a prompt, used or not. Replaced by the pipeline alone.",
    )
    op.create_table(
        "prompt_usage_invalidation",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="In the order of arrival.",
        ),
        sa.Column(
            "day",
            sa.Date(),
            nullable=True,
            comment="Day (UTC) of rows that were changed; NULL for undated rows.",
        ),
        sa.Column(
            "operation",
            sa.Text(),
            nullable=False,
            comment="UPDATE, DELETE, TRUNCATE (of every day), or RECOUNT by the pipeline.",
        ),
        sa.Column(
            "xid",
            sa.BigInteger(),
            server_default=sa.text("((pg_current_xact_id())::text)::bigint"),
            nullable=False,
            comment="Transaction that changed the rows.",
        ),
        sa.Column(
            "invalidated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When they were changed.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="One row a change of a day's raw rows: written by a trigger, removed once published.",
    )
    op.create_table(
        "prompt_usage_rejected",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="By which prompt-stats rejected names it.",
        ),
        sa.Column(
            "rejected_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was rejected; the event's own time is in the payload.",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="What is wrong with it."),
        sa.Column("payload", JSONB(), nullable=False, comment="The event as it was given, replayable."),
        sa.Column(
            "event_id",
            sa.UUID(),
            nullable=True,
            comment="The event's id, by which it is kept once; NULL on older rows.",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id", name="prompt_usage_rejected_event_id_key"),
        comment="One row an event that could not be taken. In no statistic until it is replayed.",
    )
    op.create_table(
        "prompt_value_error_stats",
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        sa.Column("dimension", sa.Text(), nullable=False, comment="scene, environment or outfit."),
        sa.Column(
            "value",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        sa.Column(
            "error_kind", sa.Text(), nullable=False, comment="Message with numbers, ids and URLs folded."
        ),
        sa.Column("error_count", sa.BigInteger(), nullable=False, comment="Events with such a message."),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the latest dated one; NULL without one.",
        ),
        comment=(
            "One row a prompt, dimension, value and kind of error, as of value_stats_as_of."
            " Replaced by the pipeline alone."
        ),
    )
    op.create_index("prompt_value_error_stats_prompt_id_idx", "prompt_value_error_stats", ["prompt_id"])
    op.create_table(
        "prompt_value_stats",
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        sa.Column("dimension", sa.Text(), nullable=False, comment="scene, environment or outfit."),
        sa.Column(
            "value",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        sa.Column(
            "usage_count",
            sa.BigInteger(),
            nullable=False,
            comment="Events: count(*), as of value_stats_as_of.",
        ),
        sa.Column("timed_count", sa.BigInteger(), nullable=False, comment="Events with a generation time."),
        *percentiles(),
        sa.Column("unique_users", sa.BigInteger(), nullable=False, comment="Distinct users."),
        *windows(),
        comment=(
            "One row a prompt, dimension and value: what is counted once a day from all raw"
            " events, as of value_stats_as_of. Replaced by the pipeline alone."
        ),
    )
    op.create_index("prompt_value_stats_prompt_id_idx", "prompt_value_stats", ["prompt_id"])
    op.create_table(
        "scene_stats",
        sa.Column(
            "scene",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        *measures(),
        *details(),
        comment="One row for each scene, over all prompts. Replaced by the pipeline alone.",
    )
    op.create_table(
        "stats_alert_evaluation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="In their order."),
        sa.Column(
            "evaluated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the alerts were evaluated.",
        ),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Up to when events were looked at: as_of of the stats.",
        ),
        sa.Column(
            "tested_count", sa.BigInteger(), nullable=False, comment="Series and rules that could be tested."
        ),
        sa.Column(
            "raised_count", sa.BigInteger(), nullable=False, comment="Alerts that were raised or stayed so."
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="One row an evaluation of the alerts in the last 30 days.",
    )
    op.create_table(
        "stats_alert_message",
        sa.Column(
            "id", sa.UUID(), nullable=False, comment="Sent along, so that a receiver can tell a repetition."
        ),
        sa.Column("channel", sa.Text(), nullable=False, comment="webhook or email."),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was written."),
        sa.Column("content", JSONB(), nullable=False, comment="What is sent."),
        sa.Column(
            "sent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the receiver acknowledged it; NULL: still to be sent.",
        ),
        sa.Column("attempt_count", sa.Integer(), nullable=False, comment="How often it was tried."),
        sa.Column(
            "failure", sa.Text(), nullable=True, comment="Why the last attempt failed; NULL if none did."
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="One row a message and channel. What could not be sent is tried again for a week.",
    )
    op.create_table(
        "stats_alerts",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="In the order of raising.",
        ),
        sa.Column(
            "rule", sa.Text(), nullable=False, comment="success_rate, generation_time, usage or freshness."
        ),
        sa.Column(
            "scope", sa.Text(), nullable=False, comment="What it is about: overall, scene, prompt or stats."
        ),
        sa.Column(
            "prompt_id",
            ids.get("prompt", sa.UUID()),
            nullable=True,
            comment="The prompt; NULL but for scope prompt.",
        ),
        sa.Column(
            "scene",
            sa.Text(),
            nullable=True,
            comment="The scene; NULL is that of events without one, or another scope.",
        ),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="Now: WARNING, ALERT, NO_DATA, or OK once recovered."
        ),
        sa.Column("severity", sa.Text(), nullable=False, comment="The worst that it was: WARNING or ALERT."),
        sa.Column(
            "window_hours",
            sa.Integer(),
            nullable=True,
            comment="Length of the window that shows it best; NULL for freshness.",
        ),
        sa.Column(
            "recent_count",
            sa.BigInteger(),
            nullable=True,
            comment="Events in the window; NULL for freshness.",
        ),
        sa.Column(
            "recent_value",
            sa.Double(),
            nullable=False,
            comment="Success rate in percent, 95th percentile in milliseconds, uses, or seconds of lag.",
        ),
        sa.Column(
            "past_count",
            sa.BigInteger(),
            nullable=True,
            comment="Events in the past that it is compared with; NULL for freshness.",
        ),
        sa.Column(
            "past_value",
            sa.Double(),
            nullable=True,
            comment="What recent_value was in the past; NULL for freshness.",
        ),
        sa.Column(
            "effect",
            sa.Double(),
            nullable=True,
            comment="How large the difference is; 1 raises a warning. NULL for freshness.",
        ),
        sa.Column(
            "q_value",
            sa.Double(),
            nullable=True,
            comment="False-discovery rate at which it is found; NULL for freshness.",
        ),
        sa.Column(
            "as_of", sa.DateTime(timezone=True), nullable=False, comment="Up to when events were looked at."
        ),
        sa.Column(
            "evaluated_at", sa.DateTime(timezone=True), nullable=False, comment="When it was last looked at."
        ),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False, comment="When it was raised."),
        sa.Column(
            "fine_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Since when nothing speaks for it; NULL while something does.",
        ),
        sa.Column(
            "recovered_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was over; NULL while it is raised.",
        ),
        sa.Column(
            "notified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When people were last told of it; NULL if never.",
        ),
        sa.Column(
            "notified_severity",
            sa.Text(),
            nullable=True,
            comment="The severity that they were told of; NULL if never.",
        ),
        sa.Column(
            "silenced_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Nobody is told of it before; NULL: not silenced.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment=(
            "One row an alert, from when a series was found worse than its past until it"
            " recovered; then it stays as history. Written by the job evaluate_alerts."
        ),
    )
    op.create_table(
        "stats_day",
        sa.Column("day", sa.Date(), nullable=False, comment="Day in UTC."),
        sa.Column(
            "usage_count",
            sa.BigInteger(),
            nullable=False,
            comment="Events of the day in the published stats.",
        ),
        sa.Column("ingest_xid", sa.BigInteger(), nullable=False, comment="Largest ingest_xid among them."),
        sa.Column(
            "events_version", sa.BigInteger(), nullable=False, comment="Fingerprint of the day's files."
        ),
        sa.PrimaryKeyConstraint("day"),
        comment="One row a day: what the published stats hold of it.",
    )
    op.create_table(
        "stats_expired_day",
        sa.Column("day", sa.Date(), nullable=False, comment="Day in UTC."),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events of the day in the lake."),
        sa.Column(
            "high", sa.BigInteger(), nullable=False, comment="Rows with a smaller ingest_xid are in the lake."
        ),
        sa.Column(
            "expired_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it expired.",
        ),
        sa.Column(
            "damaged_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When reconcile found that the lake has not all of them any more; NULL while it has.",
        ),
        sa.PrimaryKeyConstraint("day"),
        comment=(
            "One row a day whose raw rows retention removes from prompt_usage: the lake alone has them."
        ),
    )
    op.create_table(
        "stats_refresh",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="In the order of the publishes.",
        ),
        sa.Column(
            "high", sa.BigInteger(), nullable=False, comment="Every row with a smaller ingest_xid is counted."
        ),
        sa.Column(
            "next_xid",
            sa.BigInteger(),
            nullable=False,
            comment="What was committed at started_at has a smaller transaction id.",
        ),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Every event committed before it is counted.",
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=False, comment="When the watermark was taken."
        ),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the stats were written.",
        ),
        sa.Column("open_until", sa.Date(), nullable=False, comment="Last day whose events are counted."),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events in the published stats."),
        sa.Column(
            "held_back_count", sa.BigInteger(), nullable=False, comment="Events of days after open_until."
        ),
        sa.Column(
            "pending_days", JSONB(), nullable=False, comment="Days with events not yet counted: a list."
        ),
        sa.Column("rows_written", JSONB(), nullable=False, comment="Rows written and deleted, by table."),
        sa.Column(
            "seconds", JSONB(), nullable=False, comment="Duration of each step of the publish, in seconds."
        ),
        sa.Column("run_id", sa.Text(), nullable=True, comment="The Dagster run; NULL where there was none."),
        sa.Column(
            "user_stats_as_of",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="as_of of user_prompt_stats and of unique_users; NULL before they were counted.",
        ),
        sa.Column(
            "value_stats_as_of",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="as_of of prompt_value_stats; NULL before they were counted.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="One row a publish, written in the same transaction as the stats.",
    )
    op.create_table(
        "stats_sync",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="In the order of the syncs.",
        ),
        sa.Column(
            "high", sa.BigInteger(), nullable=False, comment="Every row with a smaller ingest_xid was there."
        ),
        sa.Column(
            "next_xid", sa.BigInteger(), nullable=False, comment="What was committed then has a smaller id."
        ),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Every event committed before it is below high.",
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=False, comment="When the watermark was taken."
        ),
        sa.Column(
            "server",
            sa.Text(),
            nullable=False,
            comment="Cluster, timeline and database that give out the ids.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="One row a sync of the last days: which transaction ids had been given out when.",
    )
    op.create_table(
        "user_prompt_stats",
        sa.Column("user_id", ids.get("user", sa.UUID()), nullable=False, comment="The user."),
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        *measures(),
        sa.Column(
            "is_favorite",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether the user has it as a favourite.",
        ),
        sa.PrimaryKeyConstraint("user_id", "prompt_id"),
        comment=(
            "One row a user and prompt that the user used, as of user_stats_as_of. Replaced by"
            " the pipeline alone."
        ),
    )
    op.create_index(
        "user_prompt_stats_favorites_idx",
        "user_prompt_stats",
        ["user_id", "prompt_id"],
        postgresql_where=sa.text("is_favorite"),
    )
    op.create_index("user_prompt_stats_prompt_id_idx", "user_prompt_stats", ["prompt_id"])
    op.create_table(
        "user_stats_day",
        sa.Column("day", sa.Date(), nullable=False, comment="Day in UTC."),
        sa.Column(
            "ingest_xid", sa.BigInteger(), nullable=False, comment="Largest ingest_xid of the day's events."
        ),
        sa.Column(
            "synced_high",
            sa.BigInteger(),
            nullable=False,
            comment="Watermark since which none was read again.",
        ),
        sa.Column(
            "events_version", sa.BigInteger(), nullable=False, comment="Fingerprint of files and query."
        ),
        sa.Column(
            "rollup_version", sa.BigInteger(), nullable=False, comment="Fingerprint of the query alone."
        ),
        sa.PrimaryKeyConstraint("day"),
        comment="One row a day: what the published stats of users hold of it.",
    )

    op.create_table_comment("prompt_stats_schema_version", "One row: up to where the schema was migrated.")
    op.alter_column("prompt_stats_schema_version", "version_num", comment="Revision of the last migration.")


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
