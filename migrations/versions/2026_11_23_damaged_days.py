"""Expired days that the lake no longer has in full are known, so that the status can say so.

Revision: 2026_11_23_damaged_days, after 2026_11_22_true_under_fire.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_damaged_days"
down_revision = "2026_11_22_true_under_fire"
branch_labels = None
depends_on = None

OPERATION_BEFORE = "UPDATE, DELETE or TRUNCATE (of every day)."
OPERATION_AFTER = "UPDATE, DELETE, TRUNCATE (of every day), or RECOUNT by the pipeline."


def upgrade() -> None:
    op.add_column(
        "stats_expired_day",
        sa.Column(
            "damaged_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When reconcile found that the lake has not all of them any more.",
        ),
    )
    op.alter_column("prompt_usage_invalidation", "operation", comment=OPERATION_AFTER)


def downgrade() -> None:
    op.alter_column("prompt_usage_invalidation", "operation", comment=OPERATION_BEFORE)
    op.drop_column("stats_expired_day", "damaged_at")
