"""What the counters in prompts had before they were written back, and as of when they are.

Why: counters that an app kept have drifted, and who takes them over wants to see by how much; and where they
were left alone since, as of when they are.

Revision: 2026_11_24_write_back, after 2026_11_24_most_used.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_24_write_back"
down_revision = "2026_11_24_most_used"
branch_labels = None
depends_on = None

ROWS_WRITTEN = "Rows written and deleted, by table"


def upgrade() -> None:
    op.add_column(
        "stats_refresh",
        sa.Column(
            "write_back_as_of",
            sa.DateTime(timezone=True),
            comment="as_of of the counters in prompts; NULL before they were written back.",
        ),
    )
    op.add_column(
        "stats_refresh",
        sa.Column(
            "counter_drift",
            JSONB,
            comment="What the counters in prompts had, and what is counted, at a publish that wrote them"
            " back after one that did not; NULL at others, and where nobody had kept counters.",
        ),
    )
    op.alter_column(
        "stats_refresh",
        "rows_written",
        comment=f"{ROWS_WRITTEN}; prompts is missing where it was left alone.",
    )
    op.execute("UPDATE stats_refresh SET write_back_as_of = as_of WHERE rows_written ? 'prompts'")


def downgrade() -> None:
    op.alter_column("stats_refresh", "rows_written", comment=f"{ROWS_WRITTEN}.")
    op.drop_column("stats_refresh", "counter_drift")
    op.drop_column("stats_refresh", "write_back_as_of")
