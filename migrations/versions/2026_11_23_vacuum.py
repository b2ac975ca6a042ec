"""The raw table is vacuumed every 100,000 inserts, however large it is.

Why: pages that the BRIN index has not summarised yet are read at every tick. PostgreSQL's default waits for a
fifth of the table, which is ten million rows once it has fifty.

Revision: 2026_11_23_vacuum, after 2026_11_23_journal.
"""

from alembic import op

revision = "2026_11_23_vacuum"
down_revision = "2026_11_23_journal"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE prompt_usage"
        " SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000)"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE prompt_usage"
        " RESET (autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold)"
    )
