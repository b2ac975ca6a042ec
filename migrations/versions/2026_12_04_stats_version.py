"""What the stats tables hold after a publish, so that the next one sees whether somebody else changed them.

Revision: 2026_12_04_stats_version, after 2026_12_03_value_stats_version.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_12_04_stats_version"
down_revision = "2026_12_03_value_stats_version"
branch_labels = None
depends_on = None

BEFORE = "UPDATE, DELETE, TRUNCATE (of every day), or RECOUNT by the pipeline."
AFTER = "UPDATE, DELETE, TRUNCATE (of every day); by the pipeline RECOUNT or RESCAN (without index)."


def upgrade() -> None:
    op.add_column(
        "stats_refresh",
        sa.Column(
            "stats_version",
            sa.BigInteger(),
            comment="Fingerprint of what the stats tables hold and of what made it; NULL: not known.",
        ),
    )
    op.alter_column("prompt_usage_invalidation", "operation", comment=AFTER, existing_comment=BEFORE)


def downgrade() -> None:
    op.alter_column("prompt_usage_invalidation", "operation", comment=BEFORE, existing_comment=AFTER)
    op.drop_column("stats_refresh", "stats_version")
