"""What is counted by prompt and scene, environment, outfit once a day: users, percentiles, periods.

Revision: 2026_11_23_values, after 2026_11_23_comments.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "2026_11_23_values"
down_revision = "2026_11_23_comments"
branch_labels = None
depends_on = None

TABLE = "prompt_value_stats"

PERCENTILES = {
    "p50_generation_time_ms": "Median time in milliseconds, within 2 % of the exact one;"
    " NULL if none was timed.",
    "p90_generation_time_ms": "90th percentile in milliseconds, within 2 %; NULL if none was timed.",
    "p95_generation_time_ms": "95th percentile in milliseconds, within 2 %; NULL if none was timed.",
    "p99_generation_time_ms": "99th percentile in milliseconds, within 2 %; NULL if none was timed.",
}


def count(name: str, comment: str, default: str | None = None) -> sa.Column[int]:
    server_default = sa.text(default) if default else None
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=server_default, comment=comment)


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("prompt_id", UUID(), nullable=False, comment="The prompt."),
        sa.Column("dimension", sa.Text(), nullable=False, comment="scene, environment or outfit."),
        sa.Column("value", sa.Text(), comment="NULL is a group of its own, the empty text is another."),
        count("usage_count", "Events: count(*), as of value_stats_as_of."),
        count("timed_count", "Events with a generation time."),
        *(sa.Column(name, sa.Double(), comment=comment) for name, comment in PERCENTILES.items()),
        count("unique_users", "Distinct users."),
        count("usage_count_1d", "Events of the day of as_of (UTC), so far.", "0"),
        count("usage_count_7d", "Events of the 7 days up to as_of (UTC)."),
        count("usage_count_30d", "Events of the 30 days up to as_of."),
        count("usage_count_previous_1d", "Events of the day before that of as_of.", "0"),
        count("usage_count_previous_7d", "Events of the 7 days before usage_count_7d.", "0"),
        count("usage_count_previous_30d", "Events of the 30 days before usage_count_30d.", "0"),
        comment="One row a prompt, dimension and value: what is counted once a day from all raw events, as of"
        " value_stats_as_of. Replaced by the pipeline alone.",
    )
    op.create_index("prompt_value_stats_prompt_id_idx", TABLE, ["prompt_id"])
    op.add_column(
        "stats_refresh",
        sa.Column(
            "value_stats_as_of",
            sa.DateTime(timezone=True),
            comment="as_of of prompt_value_stats; NULL before they were counted.",
        ),
    )


def downgrade() -> None:
    op.drop_column("stats_refresh", "value_stats_as_of")
    op.drop_table(TABLE)
