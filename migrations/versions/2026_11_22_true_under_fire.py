"""Stats of users at a pace of their own, expired days, watermarks of syncs.

Why: the stats of users have nearly as many rows as there are events and would slow a refresh of five minutes;
raw rows may be removed without changing a number; a restored database has to be recognised.

Revision: 2026_11_22_true_under_fire, after 2026_11_22_initial.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_22_true_under_fire"
down_revision = "2026_11_22_initial"
branch_labels = None
depends_on = None

USERS_BEFORE = "Distinct users, exactly."
USERS_AFTER = "Distinct users, as of user_stats_as_of."
TABLE_BEFORE = "One row a user and prompt that the user used. Replaced by the pipeline alone."
TABLE_AFTER = (
    "One row a user and prompt that the user used, as of user_stats_as_of. Replaced by the pipeline alone."
)


def upgrade() -> None:
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
        comment="What the published stats of users hold, day by day.",
    )
    op.create_table(
        "stats_sync",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
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
            "started_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the watermark was taken.",
        ),
        sa.Column(
            "server",
            sa.Text(),
            nullable=False,
            comment="Cluster, timeline and database that give out the ids.",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="Watermarks of the last syncs: which transaction ids had been given out when.",
    )
    op.create_table(
        "stats_expired_day",
        sa.Column("day", sa.Date(), nullable=False, comment="Day in UTC."),
        sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events of the day in the lake."),
        sa.Column(
            "high",
            sa.BigInteger(),
            nullable=False,
            comment="Rows with a smaller ingest_xid are in the lake.",
        ),
        sa.Column("expired_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("day"),
        comment="Days whose raw rows the retention job removes from prompt_usage: the lake alone has them.",
    )
    op.add_column(
        "stats_refresh",
        sa.Column(
            "user_stats_as_of",
            sa.DateTime(timezone=True),
            comment="as_of of user_prompt_stats and of unique_users.",
        ),
    )
    op.alter_column("user_prompt_stats", "is_favorite", server_default=sa.text("false"))
    op.create_index("user_prompt_stats_prompt_id_idx", "user_prompt_stats", ["prompt_id"])
    op.create_index(
        "user_prompt_stats_favorites_idx",
        "user_prompt_stats",
        ["user_id", "prompt_id"],
        postgresql_where=sa.text("is_favorite"),
    )
    op.alter_column("prompt_stats", "unique_users", comment=USERS_AFTER)
    op.create_table_comment("user_prompt_stats", TABLE_AFTER)


def downgrade() -> None:
    op.create_table_comment("user_prompt_stats", TABLE_BEFORE)
    op.alter_column("prompt_stats", "unique_users", comment=USERS_BEFORE)
    op.alter_column("user_prompt_stats", "is_favorite", server_default=None)
    op.drop_index("user_prompt_stats_favorites_idx", table_name="user_prompt_stats")
    op.drop_index("user_prompt_stats_prompt_id_idx", table_name="user_prompt_stats")
    op.drop_column("stats_refresh", "user_stats_as_of")
    op.drop_table("stats_expired_day")
    op.drop_table("stats_sync")
    op.drop_table("user_stats_day")
