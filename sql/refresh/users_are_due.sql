-- Purpose: whether the stats of users are due: an hour after they were last brought up to date.
-- Grain:   one row.
-- Time:    published_at. A refresh that left them alone has no entry for them in rows_written.
SELECT NOT EXISTS (
    SELECT
    FROM (SELECT published_at, rows_written FROM stats_refresh ORDER BY id DESC LIMIT 100) AS refresh
    WHERE
        refresh.rows_written ? 'user_prompt_stats'
        AND refresh.published_at > clock_timestamp() - interval '55 minutes'
) AS users_are_due
