"""What the stats by value were counted from, so that they are not counted again from the same events.

Revision: 2026_12_03_value_stats_version, after 2026_12_02_expired_checksum.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_12_03_value_stats_version"
down_revision = "2026_12_02_expired_checksum"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "stats_refresh",
        sa.Column(
            "value_stats_version",
            sa.BigInteger(),
            comment="Fingerprint of what prompt_value_stats was counted from; NULL: not known.",
        ),
    )


def downgrade() -> None:
    op.drop_column("stats_refresh", "value_stats_version")
