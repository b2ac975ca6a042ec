"""More of each group: interval, times from first to last, shortest and longest, periods before.

Environments and outfits over all prompts, as scenes had it.

Revision: 2026_11_23_answers, after 2026_11_23_vacuum.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_answers"
down_revision = "2026_11_23_vacuum"
branch_labels = None
depends_on = None

VALUES = ("scene", "environment", "outfit")
DETAILED = [f"prompt_{name}_stats" for name in VALUES] + ["scene_stats"]


def count(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"), comment=comment)


def first_used_at() -> sa.Column[object]:
    return sa.Column("first_used_at", sa.DateTime(timezone=True), comment="Time of the earliest dated event.")


def success_rate_lower() -> sa.Column[float]:
    return sa.Column(
        "success_rate_lower", sa.Double(), comment="Percent: lower end of its 95 % Wilson interval."
    )


def details() -> list[sa.Column[object]]:
    """What every group gets that has neither of the two above."""
    return [
        sa.Column(
            "success_rate_upper", sa.Double(), comment="Percent: upper end of its 95 % Wilson interval."
        ),
        count("timed_count", "Events with a generation time: what the mean and the percentiles are of."),
        sa.Column(
            "min_generation_time_ms", sa.BigInteger(), comment="Shortest generation time in milliseconds."
        ),
        sa.Column(
            "max_generation_time_ms", sa.BigInteger(), comment="Longest generation time in milliseconds."
        ),
    ]


def windows() -> list[sa.Column[int]]:
    return [
        count("usage_count_1d", "Events of the day of as_of (UTC), so far."),
        count("usage_count_previous_1d", "Events of the day before that of as_of."),
        count("usage_count_previous_7d", "Events of the 7 days before usage_count_7d."),
        count("usage_count_previous_30d", "Events of the 30 days before usage_count_30d."),
    ]


def upgrade() -> None:
    op.alter_column(
        "prompt_stats", "success_rate_lower", comment="Percent: lower end of its 95 % Wilson interval."
    )
    p90 = sa.Column("p90_generation_time_ms", sa.Double(), comment="90th percentile, within 2 %.")
    for column in (*details(), *windows(), p90):
        op.add_column("prompt_stats", column)
    for table in DETAILED:
        for column in (first_used_at(), success_rate_lower(), *details()):
            op.add_column(table, column)
    for name in ("environment", "outfit"):
        op.create_table(
            f"{name}_stats",
            sa.Column(name, sa.Text(), comment="NULL is a group of its own, the empty text is another."),
            sa.Column("usage_count", sa.BigInteger(), nullable=False, comment="Events: count(*)."),
            sa.Column(
                "success_count", sa.BigInteger(), nullable=False, comment="Events with success = true."
            ),
            sa.Column(
                "failure_count", sa.BigInteger(), nullable=False, comment="Events with success = false."
            ),
            sa.Column("success_rate", sa.Double(), comment="Percent: success_count / usage_count * 100."),
            sa.Column(
                "avg_generation_time_ms",
                sa.Double(),
                comment="Mean generation time in milliseconds over the events that have one, else NULL.",
            ),
            sa.Column("last_used_at", sa.DateTime(timezone=True), comment="Time of the latest dated event."),
            first_used_at(),
            success_rate_lower(),
            *details(),
            comment=f"One row a {name}, over all prompts. Replaced by the pipeline alone.",
        )


def downgrade() -> None:
    for name in ("environment", "outfit"):
        op.drop_table(f"{name}_stats")
    for table in DETAILED:
        for column in (first_used_at(), success_rate_lower(), *details()):
            op.drop_column(table, column.name)
    for column in (*details(), *windows()):
        op.drop_column("prompt_stats", column.name)
    op.drop_column("prompt_stats", "p90_generation_time_ms")
    op.alter_column(
        "prompt_stats",
        "success_rate_lower",
        comment="Percent: lower bound of the 95 % Wilson interval of the success rate.",
    )
