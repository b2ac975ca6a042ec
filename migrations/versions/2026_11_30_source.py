"""The database remembers which table the stats were made from, and by which settings.

Why: another table under the name, a rewritten one, or another first day changes what there is to count, and
no trigger tells.

Revision: 2026_11_30_source, after 2026_11_24_write_back.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_30_source"
down_revision = "2026_11_29_lake_token"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "stats_source",
        sa.Column(
            "id", sa.Integer, primary_key=True, autoincrement=False, comment="Always 1: there is one row."
        ),
        sa.Column(
            "first_day",
            sa.Date,
            nullable=False,
            comment="PROMPT_STATS_START_DATE: earlier and undated events count on this day.",
        ),
        sa.Column(
            "table_names",
            sa.Text,
            nullable=False,
            comment="PROMPT_STATS_TABLES, as far as prompt_usage goes.",
        ),
        sa.Column("relation", sa.BigInteger, nullable=False, comment="The table's oid."),
        sa.Column(
            "file_node",
            sa.BigInteger,
            nullable=False,
            comment="Its file: another one after it was rewritten.",
        ),
        sa.Column(
            "columns", sa.Text, nullable=False, comment="Number and type of each column, labels of enums."
        ),
        sa.Column(
            "triggers",
            sa.Text,
            nullable=False,
            comment="Our triggers, and which transaction changed them.",
        ),
        sa.Column(
            "unnoted", sa.Text, nullable=False, comment="Why some changes fire no trigger; empty if all do."
        ),
        sa.Column(
            "is_watched",
            sa.Boolean,
            nullable=False,
            comment="Whether every change of its rows is noted by a trigger; if not, each refresh compares"
            " all.",
        ),
        sa.Column(
            "compared_as_of",
            TIMESTAMP,
            nullable=False,
            comment="Every commit before it was compared with the lake, or needed no comparison.",
        ),
        sa.Column(
            "compared_at",
            TIMESTAMP,
            nullable=False,
            server_default=sa.text("now()"),
            comment="When that was done.",
        ),
        sa.CheckConstraint("id = 1", name="stats_source_is_one_row"),
        comment="One row: which table the events were read from, by which settings. Where one of these is"
        " another now, a refresh compares every day, or refuses.",
    )


def downgrade() -> None:
    op.drop_table("stats_source")
