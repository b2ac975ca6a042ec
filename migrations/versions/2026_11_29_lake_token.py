"""The lake and its database know each other.

Why: a database that was copied, restored or promoted, and a second one on the same lake, have to be
recognised before anything is read or written. Cluster, timeline and database of the last sync did not do: a
data folder that was put back has the same, and a promoted standby has the old timeline until its first
checkpoint.

Revision: 2026_11_29_lake_token, after 2026_11_24_write_back.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_lake_token"
down_revision = "2026_11_24_write_back"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stats_lake_token",
        sa.Column(
            "token",
            sa.BigInteger(),
            primary_key=True,
            autoincrement=False,
            comment="Random number that the commit carries.",
        ),
        sa.Column(
            "lake_id",
            sa.BigInteger(),
            nullable=False,
            comment="Random number that the lake is known by.",
        ),
        sa.Column("server", sa.Text(), nullable=False, comment="Cluster and database that made the commit."),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
            comment="When, before the commit.",
        ),
        comment="One row per commit to the lake's raw events that this database knows: the latest, and those"
        " since that may have been made.",
    )
    op.drop_column("stats_sync", "server")


def downgrade() -> None:
    op.add_column(
        "stats_sync",
        sa.Column(
            "server",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="Cluster, timeline and database that give out the ids.",
        ),
    )
    op.alter_column("stats_sync", "server", server_default=None)
    op.drop_table("stats_lake_token")
