"""A key for the tables whose groups have none.

Why: a table without a key refuses every UPDATE and DELETE while it is in a publication, as in one FOR ALL
TABLES; a refresh was blocked for good, and an erasure was done by half.

Revision: 2026_12_01_replica_identity, after 2026_11_30_source.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_12_01_replica_identity"
down_revision = "2026_11_30_source"
branch_labels = None
depends_on = None

TABLES = (
    "prompt_scene_stats",
    "prompt_environment_stats",
    "prompt_outfit_stats",
    "scene_stats",
    "environment_stats",
    "outfit_stats",
    "prompt_value_stats",
    "prompt_value_error_stats",
)
COMMENT = "By which logical replication knows the row; another one whenever the row is written."


# Ids of events may be other than UUIDs now.
OF_EVENT = "By which it is kept once: its id, or a UUID made of it; NULL if old."
OF_EVENT_BEFORE = "The event's id, by which it is kept once; NULL on older rows."


def upgrade() -> None:
    op.alter_column("prompt_usage_rejected", "event_id", comment=OF_EVENT)
    for table in TABLES:
        op.add_column(
            table,
            sa.Column("row_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment=COMMENT),
        )
        op.create_primary_key(f"{table}_pkey", table, ["row_id"])


def downgrade() -> None:
    op.alter_column("prompt_usage_rejected", "event_id", comment=OF_EVENT_BEFORE)
    for table in TABLES:
        op.drop_column(table, "row_id")
