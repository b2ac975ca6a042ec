"""The periods of 1, 7 and 30 days are whole days, the last of them that before as_of.

Why: a period with an unfinished day is smaller than the one before it, whatever happened. The numbers follow
with the next refresh.

Revision: 2026_11_23_whole_days, after 2026_11_23_value_errors.
"""

from alembic import op

revision = "2026_11_23_whole_days"
down_revision = "2026_11_23_value_errors"
branch_labels = None
depends_on = None

COMMENTS = {
    "usage_count_1d": (
        "Events of the day of as_of (UTC), so far.",
        "Events of the last whole day: that before as_of (UTC).",
    ),
    "usage_count_7d": (
        "Events of the 7 days up to as_of (UTC).",
        "Events of the last 7 whole days (UTC), without that of as_of.",
    ),
    "usage_count_30d": ("Events of the 30 days up to as_of.", "Events of the last 30 whole days."),
    "usage_count_previous_1d": (
        "Events of the day before that of as_of.",
        "Events of the day before that of usage_count_1d.",
    ),
}
PERCENTILES = {
    "p50_generation_time_ms": (
        "Median time in milliseconds, within 2 % of the exact one; NULL if none was timed.",
        "Median time in milliseconds, within 2 % of percentile_disc; NULL if none was timed.",
    )
}
TABLES = ("prompt_stats", "prompt_value_stats")


def upgrade() -> None:
    _comment(1)


def downgrade() -> None:
    _comment(0)


def _comment(which: int) -> None:
    for table in TABLES:
        for column, texts in (COMMENTS | PERCENTILES).items():
            op.execute(f"COMMENT ON COLUMN {table}.{column} IS '{texts[which]}'")
