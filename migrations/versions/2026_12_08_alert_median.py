"""Alerts compare the median generation time, no longer the 95th percentile.

Revision: 2026_12_08_alert_median, after 2026_12_07_stats_freshness.
"""

from alembic import op

revision = "2026_12_08_alert_median"
down_revision = "2026_12_07_stats_freshness"
branch_labels = None
depends_on = None

BEFORE = "Success rate in percent, 95th percentile in milliseconds, uses, or seconds of lag."
AFTER = "Success rate in percent, median generation time in milliseconds, uses, or seconds of lag."


def upgrade() -> None:
    op.alter_column("stats_alerts", "recent_value", comment=AFTER, existing_comment=BEFORE)


def downgrade() -> None:
    op.alter_column("stats_alerts", "recent_value", comment=BEFORE, existing_comment=AFTER)
