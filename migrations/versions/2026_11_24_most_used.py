"""The ranking by use is read from prompt_stats, in the order of an index there.

Why: what an app keeps in prompts need not be what is counted; and its table has one index less to keep.

Revision: 2026_11_24_most_used, after 2026_11_24_adoption.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_most_used"
down_revision = "2026_11_24_adoption"
branch_labels = None
depends_on = None

INDEX = "prompt_stats_most_used_idx"


def upgrade() -> None:
    op.create_index(
        INDEX, "prompt_stats", [sa.text("usage_count DESC"), sa.text("success_count DESC"), "prompt_id"]
    )


def downgrade() -> None:
    op.drop_index(INDEX, "prompt_stats")
