"""The ranking by use is read in its order, not sorted at each request.

Revision: 2026_11_23_ranking, after 2026_11_23_values.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_ranking"
down_revision = "2026_11_23_values"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "prompts_most_used_idx",
        "prompts",
        [sa.text("usage_count DESC"), sa.text("success_count DESC"), "id"],
        postgresql_where=sa.text("is_active AND deleted_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("prompts_most_used_idx", "prompts")
