-- Purpose: usage over time, in the days of any time zone, or by hour; periods without use included.
-- Grain:   one row a period: a day, week (from Monday) or month of :timezone, or an hour of UTC.
-- Time:    created_at, from :first to :last, both days included. Undated events are in no period.
-- Reads usage_events: those of one prompt, or if :prompt_id is NULL those of all; events without a prompt are
-- left out. Runs on DuckDB alone: it is no rollup, and answers somebody who waits.
WITH periods AS (
    SELECT DISTINCT date_trunc($bucket, step) AS period
    FROM generate_series(
        CAST($first AS TIMESTAMP),
        CAST($last AS TIMESTAMP) + INTERVAL 23 HOUR,
        CASE WHEN $bucket = 'hour' THEN INTERVAL 1 HOUR ELSE INTERVAL 1 DAY END
    ) AS steps (step)
),

used AS (
    SELECT
        date_trunc($bucket, timezone($timezone, created_at)) AS period,
        count(*)                                             AS usage_count,
        count(CASE WHEN success THEN 1 END)                  AS success_count,
        count(CASE WHEN NOT success THEN 1 END)              AS failure_count
    FROM usage_events
    WHERE
        prompt_id = coalesce(CAST($prompt_id AS VARCHAR), prompt_id)
        AND timezone($timezone, created_at) >= CAST($first AS TIMESTAMP)
        AND timezone($timezone, created_at) < CAST($last AS TIMESTAMP) + INTERVAL 1 DAY
    GROUP BY 1
)

SELECT
    periods.period,
    coalesce(used.usage_count, 0)                 AS usage_count,
    coalesce(used.success_count, 0)               AS success_count,
    coalesce(used.failure_count, 0)               AS failure_count,
    used.success_count / used.usage_count * 100   AS success_rate
FROM periods
LEFT JOIN used ON used.period = periods.period
ORDER BY periods.period
