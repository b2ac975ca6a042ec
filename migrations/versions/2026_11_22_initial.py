"""Initial schema: the app's tables, the stats beside them, and the trigger that notes changed days.

Why: everything starts here. ``ingest_xid`` and the trigger are there from the first row on, so that no
event can slip past the pipeline.

Revision: 2026_11_22_initial, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_22_initial"
down_revision = None
branch_labels = None
depends_on = None


# One statement changes many rows, and notes each of their days once. SECURITY DEFINER: the app's role
# needs no right on the pipeline's table. Inserts fire nothing: appending stays cheap.
INVALIDATION_TRIGGER = (
    """
    CREATE FUNCTION note_prompt_usage_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' AS $$
    BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            INSERT INTO prompt_usage_invalidation (day, operation) VALUES (NULL, TG_OP);
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO prompt_usage_invalidation (day, operation)
            SELECT DISTINCT created_at::date, TG_OP FROM gone;
        ELSE
            INSERT INTO prompt_usage_invalidation (day, operation)
            SELECT DISTINCT day, TG_OP FROM (
                SELECT created_at::date AS day FROM gone
                UNION
                SELECT created_at::date AS day FROM come
            ) AS changed;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER prompt_usage_note_update AFTER UPDATE ON prompt_usage
    REFERENCING OLD TABLE AS gone NEW TABLE AS come
    FOR EACH STATEMENT EXECUTE FUNCTION note_prompt_usage_change()
    """,
    """
    CREATE TRIGGER prompt_usage_note_delete AFTER DELETE ON prompt_usage
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note_prompt_usage_change()
    """,
    """
    CREATE TRIGGER prompt_usage_note_truncate AFTER TRUNCATE ON prompt_usage
    FOR EACH STATEMENT EXECUTE FUNCTION note_prompt_usage_change()
    """,
)


def upgrade() -> None:
    op.create_table(
        "posts",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=True),
        sa.Column("character_id", sa.UUID(), nullable=True),
        sa.Column("job_id", sa.UUID(), nullable=True),
        sa.Column("prompt_id", sa.UUID(), nullable=True),
        sa.Column(
            "scene", sa.Text(), nullable=True, comment="Scene of the generation; NULL when none was given."
        ),
        sa.Column(
            "environment",
            sa.Text(),
            nullable=True,
            comment="Environment of the generation; NULL when none was given.",
        ),
        sa.Column(
            "outfit", sa.Text(), nullable=True, comment="Outfit of the generation; NULL when none was given."
        ),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("negative_prompt", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "prompt_daily_stats",
        sa.Column("day", sa.Date(), nullable=False, comment="Day in UTC."),
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
        sa.Column("success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."),
        sa.Column("failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."),
        sa.Column(
            "success_rate", sa.Double(), nullable=True, comment="Percent: success_count / usage_count * 100."
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
            comment="Time of the latest dated event.",
        ),
        sa.PrimaryKeyConstraint("day", "prompt_id"),
        comment="One row a day and prompt. Replaced by the pipeline alone.",
    )
    op.create_index("prompt_daily_stats_prompt_id_idx", "prompt_daily_stats", ["prompt_id"], unique=False)
    op.create_table(
        "prompt_environment_stats",
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column(
            "environment",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
        sa.Column("success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."),
        sa.Column("failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."),
        sa.Column(
            "success_rate", sa.Double(), nullable=True, comment="Percent: success_count / usage_count * 100."
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
            comment="Time of the latest dated event.",
        ),
        comment="One row a prompt and environment. Replaced by the pipeline alone.",
    )
    op.create_index(
        "prompt_environment_stats_prompt_id_idx", "prompt_environment_stats", ["prompt_id"], unique=False
    )
    op.create_table(
        "prompt_error_stats",
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column(
            "error_kind", sa.Text(), nullable=False, comment="Message with numbers, ids and URLs folded."
        ),
        sa.Column("error_count", sa.BigInteger(), nullable=False, comment="Events with such a message."),
        sa.Column(
            "last_seen_at", sa.DateTime(timezone=True), nullable=True, comment="Time of the latest dated one."
        ),
        sa.PrimaryKeyConstraint("prompt_id", "error_kind"),
        comment="One row a prompt and kind of error. Replaced by the pipeline alone.",
    )
    op.create_table(
        "prompt_favorites",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("sort_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("prompt_id", "user_id", name="prompt_favorites_prompt_id_user_id_key"),
    )
    op.create_table(
        "prompt_outfit_stats",
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column(
            "outfit",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
        sa.Column("success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."),
        sa.Column("failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."),
        sa.Column(
            "success_rate", sa.Double(), nullable=True, comment="Percent: success_count / usage_count * 100."
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
            comment="Time of the latest dated event.",
        ),
        comment="One row a prompt and outfit. Replaced by the pipeline alone.",
    )
    op.create_index("prompt_outfit_stats_prompt_id_idx", "prompt_outfit_stats", ["prompt_id"], unique=False)
    op.create_table(
        "prompt_scene_stats",
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column(
            "scene",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
        sa.Column("success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."),
        sa.Column("failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."),
        sa.Column(
            "success_rate", sa.Double(), nullable=True, comment="Percent: success_count / usage_count * 100."
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
            comment="Time of the latest dated event.",
        ),
        comment="One row a prompt and scene. Replaced by the pipeline alone.",
    )
    op.create_index("prompt_scene_stats_prompt_id_idx", "prompt_scene_stats", ["prompt_id"], unique=False)
    op.create_table(
        "prompt_stats",
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
        sa.Column("success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."),
        sa.Column("failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."),
        sa.Column(
            "success_rate", sa.Double(), nullable=True, comment="Percent: success_count / usage_count * 100."
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
            comment="Time of the latest dated event.",
        ),
        sa.Column(
            "first_used_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the earliest dated event.",
        ),
        sa.Column(
            "p50_generation_time_ms",
            sa.Double(),
            nullable=True,
            comment="Median time, within 2 % of the exact one.",
        ),
        sa.Column(
            "p95_generation_time_ms", sa.Double(), nullable=True, comment="95th percentile, within 2 %."
        ),
        sa.Column(
            "p99_generation_time_ms", sa.Double(), nullable=True, comment="99th percentile, within 2 %."
        ),
        sa.Column("unique_users", sa.BigInteger(), nullable=False, comment="Distinct users, exactly."),
        sa.Column(
            "usage_count_7d",
            sa.BigInteger(),
            nullable=False,
            comment="Events of the 7 days up to as_of (UTC).",
        ),
        sa.Column(
            "usage_count_30d", sa.BigInteger(), nullable=False, comment="Events of the 30 days up to as_of."
        ),
        sa.Column(
            "success_rate_lower",
            sa.Double(),
            nullable=True,
            comment="Percent: lower bound of the 95 % Wilson interval of the success rate.",
        ),
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
        "prompt_usage",
        sa.Column(
            "id",
            sa.UUID(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
            comment="The event's id, from its producer: the same id twice is the same event.",
        ),
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=True),
        sa.Column("character_id", sa.UUID(), nullable=True),
        sa.Column("post_id", sa.UUID(), nullable=True),
        sa.Column("job_id", sa.UUID(), nullable=True),
        sa.Column(
            "scene", sa.Text(), nullable=True, comment="Scene of the generation; NULL when none was given."
        ),
        sa.Column(
            "environment",
            sa.Text(),
            nullable=True,
            comment="Environment of the generation; NULL when none was given.",
        ),
        sa.Column(
            "outfit", sa.Text(), nullable=True, comment="Outfit of the generation; NULL when none was given."
        ),
        sa.Column("success", sa.Boolean(), nullable=True, comment="NULL is neither success nor failure."),
        sa.Column("generation_time_ms", sa.Integer(), nullable=True, comment="Milliseconds."),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=True,
            comment="When the prompt was used.",
        ),
        sa.Column(
            "ingest_xid",
            sa.BigInteger(),
            server_default=sa.text("((pg_current_xact_id())::text)::bigint"),
            nullable=True,
            comment="Transaction that inserted the row. NULL on rows older than the pipeline. Do not write.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="Raw usage events: appended by the app, never updated by it. No foreign keys.",
    )
    op.create_index(
        "prompt_usage_ingest_brin",
        "prompt_usage",
        ["ingest_xid", "created_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on", "pages_per_range": 32},
    )
    op.create_table(
        "prompt_usage_invalidation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "day",
            sa.Date(),
            nullable=True,
            comment="Day (UTC) of rows that were changed; NULL for undated rows.",
        ),
        sa.Column(
            "operation", sa.Text(), nullable=False, comment="UPDATE, DELETE or TRUNCATE (of every day)."
        ),
        sa.Column(
            "xid",
            sa.BigInteger(),
            server_default=sa.text("((pg_current_xact_id())::text)::bigint"),
            nullable=False,
            comment="Transaction that changed the rows.",
        ),
        sa.Column(
            "invalidated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="Days whose raw rows were updated or deleted, written by a trigger, removed once published.",
    )
    op.create_table(
        "prompt_usage_rejected",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("rejected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The event as it was given, replayable.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="Events that could not be taken.",
    )
    op.create_table(
        "prompts",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column(
            "slug", sa.Text(), nullable=True, comment="Readable key, for example portrait-selfie-casual."
        ),
        sa.Column(
            "created_by",
            sa.UUID(),
            nullable=True,
            comment="User who wrote the prompt; NULL for a system prompt.",
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("subcategory", sa.Text(), nullable=True),
        sa.Column("template", sa.Text(), nullable=False, comment="The prompt, with {{placeholders}}."),
        sa.Column("negative_prompt", sa.Text(), nullable=True),
        sa.Column(
            "required_dna",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Placeholders that the character has to fill: a list.",
        ),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="A list of texts."),
        sa.Column("rating", sa.Text(), nullable=True),
        sa.Column("recommended_workflow", sa.Text(), nullable=True),
        sa.Column("aspect_ratio", sa.Text(), nullable=True),
        sa.Column("is_system_prompt", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_public", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Time of the soft delete; NULL while the prompt lives.",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Not touched by stats.",
        ),
        sa.Column(
            "usage_count",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of this prompt. Written back by the pipeline, as are the columns below.",
        ),
        sa.Column("success_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failure_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("success_rate", sa.Double(), nullable=True, comment="Percent; NULL when never used."),
        sa.Column(
            "avg_generation_time_ms",
            sa.Double(),
            nullable=True,
            comment="Milliseconds; NULL when never timed.",
        ),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("favorite_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "stats_as_of",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="as_of of the refresh that last changed these counters.",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
    )
    op.create_table(
        "scene_stats",
        sa.Column(
            "scene",
            sa.Text(),
            nullable=True,
            comment="NULL is a group of its own, the empty text is another.",
        ),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
        sa.Column("success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."),
        sa.Column("failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."),
        sa.Column(
            "success_rate", sa.Double(), nullable=True, comment="Percent: success_count / usage_count * 100."
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
            comment="Time of the latest dated event.",
        ),
        comment="One row a scene, over all prompts. Replaced by the pipeline alone.",
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
        comment="What the published stats hold, day by day.",
    )
    op.create_table(
        "stats_refresh",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
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
            "published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("open_until", sa.Date(), nullable=False, comment="Last day whose events are counted."),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events in the published stats."),
        sa.Column(
            "held_back_count", sa.BigInteger(), nullable=False, comment="Events of days after open_until."
        ),
        sa.Column(
            "pending_days",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Days with events not yet counted: a list.",
        ),
        sa.Column(
            "rows_written",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Rows written and deleted, by table.",
        ),
        sa.Column(
            "seconds",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Duration of each step of the publish.",
        ),
        sa.Column("run_id", sa.Text(), nullable=True, comment="The Dagster run, where there was one."),
        sa.PrimaryKeyConstraint("id"),
        comment="One row a publish, written in the same transaction as the stats.",
    )
    op.create_table(
        "user_prompt_stats",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("prompt_id", sa.UUID(), nullable=False),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
        sa.Column("success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."),
        sa.Column("failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."),
        sa.Column(
            "success_rate", sa.Double(), nullable=True, comment="Percent: success_count / usage_count * 100."
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
            comment="Time of the latest dated event.",
        ),
        sa.Column(
            "is_favorite", sa.Boolean(), nullable=False, comment="Whether the user has it as a favourite."
        ),
        sa.PrimaryKeyConstraint("user_id", "prompt_id"),
        comment="One row a user and prompt that the user used. Replaced by the pipeline alone.",
    )
    for statement in INVALIDATION_TRIGGER:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("user_prompt_stats")
    op.drop_table("stats_refresh")
    op.drop_table("stats_day")
    op.drop_table("scene_stats")
    op.drop_table("prompts")
    op.drop_table("prompt_usage_rejected")
    op.drop_table("prompt_usage_invalidation")
    op.drop_index(
        "prompt_usage_ingest_brin",
        table_name="prompt_usage",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on", "pages_per_range": 32},
    )
    op.drop_table("prompt_usage")
    op.drop_table("prompt_stats")
    op.drop_index("prompt_scene_stats_prompt_id_idx", table_name="prompt_scene_stats")
    op.drop_table("prompt_scene_stats")
    op.drop_index("prompt_outfit_stats_prompt_id_idx", table_name="prompt_outfit_stats")
    op.drop_table("prompt_outfit_stats")
    op.drop_table("prompt_favorites")
    op.drop_table("prompt_error_stats")
    op.drop_index("prompt_environment_stats_prompt_id_idx", table_name="prompt_environment_stats")
    op.drop_table("prompt_environment_stats")
    op.drop_index("prompt_daily_stats_prompt_id_idx", table_name="prompt_daily_stats")
    op.drop_table("prompt_daily_stats")
    op.drop_table("posts")
    op.execute("DROP FUNCTION note_prompt_usage_change()")
