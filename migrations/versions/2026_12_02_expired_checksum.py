"""What an expired day holds, by a checksum beside the number of its events.

Why: a lake that was put back to before an update, a deletion or an erasure has other events of the day, or as
many with other values; they were published.

Revision: 2026_12_02_expired_checksum, after 2026_12_01_replica_identity.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_12_02_expired_checksum"
down_revision = "2026_12_01_replica_identity"
branch_labels = None
depends_on = None

DAMAGED = "When it was found that the lake does not hold them as it should; NULL while it does."
DAMAGED_BEFORE = "When reconcile found that the lake has not all of them any more; NULL while it has."


def upgrade() -> None:
    op.add_column(
        "stats_expired_day",
        sa.Column(
            "checksum",
            sa.BigInteger(),
            comment="Checksum of all values of these events; NULL: not known.",
        ),
    )
    op.alter_column("stats_expired_day", "damaged_at", comment=DAMAGED)


def downgrade() -> None:
    op.drop_column("stats_expired_day", "checksum")
    op.alter_column("stats_expired_day", "damaged_at", comment=DAMAGED_BEFORE)
