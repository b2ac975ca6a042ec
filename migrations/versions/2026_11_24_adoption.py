"""What migrate added to the app's tables is recorded, so that it can be taken back.

Revision: 2026_11_24_adoption, after 2026_11_23_alerts.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_24_adoption"
down_revision = "2026_11_23_alerts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stats_schema_change",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            primary_key=True,
            comment="In the order of the steps.",
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the step was taken.",
        ),
        sa.Column("what", sa.Text(), nullable=False, unique=True, comment="What the step did."),
        sa.Column("undo", JSONB(), nullable=False, comment="The statements that take it back: a list."),
        comment="One row for each thing that migrate added to the app's tables; migrate --undo takes them"
        " back.",
    )


def downgrade() -> None:
    op.drop_table("stats_schema_change")
