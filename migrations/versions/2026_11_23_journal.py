"""Rejected events are known by their event id, so that each is kept once.

Why: a tracker that did not hear the answer sends a batch again.

Revision: 2026_11_23_journal, after 2026_11_23_damaged_days.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_journal"
down_revision = "2026_11_23_damaged_days"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "prompt_usage_rejected",
        sa.Column("event_id", sa.Uuid(), nullable=True, comment="The same event is kept once."),
    )
    # Until now a tracker kept a repeated event each time: the first one gets the id.
    op.execute(
        """
        UPDATE prompt_usage_rejected AS rejected
        SET event_id = CAST(payload ->> 'event_id' AS uuid)
        FROM (
            SELECT min(id) AS id FROM prompt_usage_rejected
            WHERE payload ->> 'event_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            GROUP BY lower(payload ->> 'event_id')
        ) AS first
        WHERE first.id = rejected.id
        """
    )
    op.create_unique_constraint("prompt_usage_rejected_event_id_key", "prompt_usage_rejected", ["event_id"])


def downgrade() -> None:
    op.drop_column("prompt_usage_rejected", "event_id")
