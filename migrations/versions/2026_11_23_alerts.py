"""What the alerts keep: what is raised and was, when it was looked at, what is to be sent.

Why: an operator is to be told of what is worse than its own past before users notice, and told once.

Revision: 2026_11_23_alerts, after 2026_11_23_whole_days.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "2026_11_23_alerts"
down_revision = "2026_11_23_whole_days"
branch_labels = None
depends_on = None

TABLES = ("stats_alerts", "stats_alert_evaluation", "stats_alert_message")


def upgrade() -> None:
    op.create_table(
        "stats_alerts",
        sa.Column(
            "id",
            sa.BigInteger,
            sa.Identity(always=True),
            primary_key=True,
            comment="In the order of raising.",
        ),
        sa.Column(
            "rule", sa.Text, nullable=False, comment="success_rate, generation_time, usage or freshness."
        ),
        sa.Column(
            "scope", sa.Text, nullable=False, comment="What it is about: overall, scene, prompt or stats."
        ),
        sa.Column("prompt_id", UUID(), comment="The prompt; NULL but for scope prompt."),
        sa.Column(
            "scene", sa.Text, comment="The scene; NULL is that of events without one, or another scope."
        ),
        sa.Column(
            "state", sa.Text, nullable=False, comment="Now: WARNING, ALERT, NO_DATA, or OK once recovered."
        ),
        sa.Column("severity", sa.Text, nullable=False, comment="The worst that it was: WARNING or ALERT."),
        sa.Column(
            "window_hours", sa.Integer, comment="Length of the window that shows it best; NULL for freshness."
        ),
        sa.Column("recent_count", sa.BigInteger, comment="Events in the window; NULL for freshness."),
        sa.Column(
            "recent_value",
            sa.Double,
            nullable=False,
            comment="Success rate in percent, 95th percentile in milliseconds, uses, or seconds of lag.",
        ),
        sa.Column(
            "past_count",
            sa.BigInteger,
            comment="Events in the past that it is compared with; NULL for freshness.",
        ),
        sa.Column("past_value", sa.Double, comment="What recent_value was in the past; NULL for freshness."),
        sa.Column(
            "effect",
            sa.Double,
            comment="How large the difference is; 1 raises a warning. NULL for freshness.",
        ),
        sa.Column(
            "q_value", sa.Double, comment="False-discovery rate at which it is found; NULL for freshness."
        ),
        sa.Column(
            "as_of", sa.DateTime(timezone=True), nullable=False, comment="Up to when events were looked at."
        ),
        sa.Column(
            "evaluated_at", sa.DateTime(timezone=True), nullable=False, comment="When it was last looked at."
        ),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False, comment="When it was raised."),
        sa.Column(
            "fine_since",
            sa.DateTime(timezone=True),
            comment="Since when nothing speaks for it; NULL while something does.",
        ),
        sa.Column(
            "recovered_at", sa.DateTime(timezone=True), comment="When it was over; NULL while it is raised."
        ),
        sa.Column(
            "notified_at",
            sa.DateTime(timezone=True),
            comment="When people were last told of it; NULL if never.",
        ),
        sa.Column(
            "notified_severity", sa.Text, comment="The severity that they were told of; NULL if never."
        ),
        sa.Column(
            "silenced_until",
            sa.DateTime(timezone=True),
            comment="Nobody is told of it before; NULL: not silenced.",
        ),
        comment="One row an alert, from when a series was found worse than its past until it recovered; then"
        " it stays as history. Written by the job evaluate_alerts.",
    )
    op.create_table(
        "stats_alert_evaluation",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="In their order."),
        sa.Column(
            "evaluated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the alerts were evaluated.",
        ),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Up to when events were looked at: as_of of the stats.",
        ),
        sa.Column(
            "tested_count", sa.BigInteger, nullable=False, comment="Series and rules that could be tested."
        ),
        sa.Column(
            "raised_count", sa.BigInteger, nullable=False, comment="Alerts that were raised or stayed so."
        ),
        comment="One row an evaluation of the alerts in the last 30 days.",
    )
    op.create_table(
        "stats_alert_message",
        sa.Column(
            "id", UUID(), primary_key=True, comment="Sent along, so that a receiver can tell a repetition."
        ),
        sa.Column("channel", sa.Text, nullable=False, comment="webhook or email."),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was written."),
        sa.Column("content", JSONB, nullable=False, comment="What is sent."),
        sa.Column(
            "sent_at",
            sa.DateTime(timezone=True),
            comment="When the receiver acknowledged it; NULL: still to be sent.",
        ),
        sa.Column("attempt_count", sa.Integer, nullable=False, comment="How often it was tried."),
        sa.Column("failure", sa.Text, comment="Why the last attempt failed; NULL if none did."),
        comment="One row a message and channel. What could not be sent is tried again for a week.",
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
