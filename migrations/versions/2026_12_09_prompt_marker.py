"""A prompt's author can note what was changed on which day, to see beside the numbers what came of it.

Revision: 2026_12_09_prompt_marker, after 2026_12_08_alert_median.
"""

import sqlalchemy as sa
from alembic import context, op

revision = "2026_12_09_prompt_marker"
down_revision = "2026_12_08_alert_median"
branch_labels = None
depends_on = None


def upgrade() -> None:
    ids = context.config.attributes["ids"]
    op.create_table(
        "prompt_marker",
        sa.Column("prompt_id", ids.get("prompt", sa.UUID()), nullable=False, comment="The prompt."),
        sa.Column(
            "day",
            sa.Date(),
            nullable=False,
            comment="Day of the change, in the author's time zone.",
        ),
        sa.Column("note", sa.Text(), nullable=False, comment="What was changed: 200 characters at most."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the day was marked.",
        ),
        sa.PrimaryKeyConstraint("prompt_id", "day"),
        sa.CheckConstraint("char_length(note) BETWEEN 1 AND 200", name="prompt_marker_note_length"),
        comment="One row per prompt and day on which its author notes a change. Written over HTTP alone.",
    )


def downgrade() -> None:
    op.drop_table("prompt_marker")
