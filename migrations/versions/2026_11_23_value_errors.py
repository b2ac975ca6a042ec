"""What went wrong by prompt and scene, environment, outfit.

Revision: 2026_11_23_value_errors, after 2026_11_23_ranking.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "2026_11_23_value_errors"
down_revision = "2026_11_23_ranking"
branch_labels = None
depends_on = None

TABLE = "prompt_value_error_stats"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("prompt_id", UUID(), nullable=False, comment="The prompt."),
        sa.Column("dimension", sa.Text(), nullable=False, comment="scene, environment or outfit."),
        sa.Column("value", sa.Text(), comment="NULL is a group of its own, the empty text is another."),
        sa.Column(
            "error_kind", sa.Text(), nullable=False, comment="Message with numbers, ids and URLs folded."
        ),
        sa.Column("error_count", sa.BigInteger(), nullable=False, comment="Events with such a message."),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            comment="Time of the latest dated one; NULL without one.",
        ),
        comment="One row a prompt, dimension, value and kind of error, as of value_stats_as_of. Replaced by"
        " the pipeline alone.",
    )
    op.create_index("prompt_value_error_stats_prompt_id_idx", TABLE, ["prompt_id"])


def downgrade() -> None:
    op.drop_table(TABLE)
