"""Which partitions the raw table had when last compared, and which one took the rows of an expired day.

Notes get an index by transaction: of a partitioned table each changed row asks whether its day is noted.

Revision: 2026_12_05_partitions, after 2026_12_04_stats_version.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_12_05_partitions"
down_revision = "2026_12_04_stats_version"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "stats_source",
        sa.Column(
            "partitions",
            JSONB(),
            nullable=False,
            server_default="[]",
            comment="Its partitions: the days of each, a fingerprint of what may change without a trigger.",
        ),
    )
    op.add_column(
        "stats_expired_day",
        sa.Column(
            "partition",
            sa.Text(),
            comment="The partition that was dropped or detached with the rows; NULL: retention removes them.",
        ),
    )
    op.create_index("prompt_usage_invalidation_xid_idx", "prompt_usage_invalidation", ["xid"])


def downgrade() -> None:
    op.drop_index("prompt_usage_invalidation_xid_idx")
    op.drop_column("stats_expired_day", "partition")
    op.drop_column("stats_source", "partitions")
