"""A view of one row that says how fresh the stats are, for Grafana and other tools that take a table's name.

It reads stats_refresh alone, so whoever may read that table may read the view, and nothing else by it: roles
that have the one get the other. It needs no security_invoker, which PostgreSQL 13 and 14 do not know.

Revision: 2026_12_07_stats_freshness, after 2026_12_05_partitions.
"""

from alembic import op

revision = "2026_12_07_stats_freshness"
down_revision = "2026_12_05_partitions"
branch_labels = None
depends_on = None

VIEW = """
    CREATE VIEW stats_freshness AS
    SELECT
        latest.id AS refresh_id,
        latest.as_of,
        extract(epoch FROM clock_timestamp() - latest.as_of)::double precision AS lag_seconds,
        coalesce(
            latest.as_of > clock_timestamp() - interval '30 minutes' AND latest.pending_days = '[]', false
        ) AS is_fresh,
        jsonb_array_length(latest.pending_days) AS pending_day_count,
        latest.pending_days,
        latest.held_back_count,
        latest.usage_count,
        latest.user_stats_as_of,
        latest.value_stats_as_of,
        latest.started_at,
        latest.published_at
    FROM (VALUES (1)) AS one (row)
    LEFT JOIN (SELECT * FROM stats_refresh ORDER BY id DESC LIMIT 1) AS latest ON true
"""

GRANTS = """
    DO $$
    DECLARE reader text;
    BEGIN
        FOR reader IN
            SELECT CASE WHEN granted.grantee = 0 THEN 'PUBLIC' ELSE granted.grantee::regrole::text END
            FROM pg_class CROSS JOIN aclexplode(relacl) AS granted
            WHERE pg_class.oid = 'stats_refresh'::regclass AND granted.privilege_type = 'SELECT'
                AND granted.grantee <> relowner
        LOOP
            EXECUTE 'GRANT SELECT ON stats_freshness TO ' || reader;
        END LOOP;
    END $$
"""

COMMENTS = {
    "refresh_id": "id of the latest row of stats_refresh; NULL, as all but is_fresh, before the first.",
    "as_of": "Every event committed before it is counted; NULL before the first refresh.",
    "lag_seconds": "Age of as_of now, in seconds; NULL before the first refresh.",
    "is_fresh": "Whether as_of is at most 30 minutes old and no day is pending; never NULL.",
    "pending_day_count": "Days with events not yet counted; NULL before the first refresh.",
    "pending_days": "These days: a list; NULL before the first refresh.",
    "held_back_count": "Events dated more than a day ahead, not counted yet; NULL before the first refresh.",
    "usage_count": "Events in the published stats; NULL before the first refresh.",
    "user_stats_as_of": "as_of of user_prompt_stats and of unique_users; NULL before they were counted.",
    "value_stats_as_of": "as_of of prompt_value_stats; NULL before they were counted.",
    "started_at": "When the watermark of the latest refresh was taken; NULL before the first.",
    "published_at": "When the stats were written; NULL before the first refresh.",
}
COMMENT = "One row: how fresh and how complete the stats are now. A view of stats_refresh, for BI tools."


def upgrade() -> None:
    op.execute(VIEW)
    op.execute(GRANTS)
    op.execute(f"COMMENT ON VIEW stats_freshness IS '{COMMENT}'")
    for column, comment in COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN stats_freshness.{column} IS '{comment}'")


def downgrade() -> None:
    op.execute("DROP VIEW stats_freshness")
