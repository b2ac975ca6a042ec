-- Purpose: usage of one prompt over time, in the days of any time zone, or by hour; periods without use included.
-- Grain:   one row a period: a day, week (from Monday) or month of :timezone, or an hour of UTC.
-- Time:    created_at, from :first to :last, both days included. Undated events are in no period.
-- Reads usage_events. Runs on DuckDB alone: it is no rollup, and answers somebody who waits.
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
        success
    FROM usage_events
    WHERE
        prompt_id = $prompt_id
        AND timezone($timezone, created_at) >= CAST($first AS TIMESTAMP)
        AND timezone($timezone, created_at) < CAST($last AS TIMESTAMP) + INTERVAL 1 DAY
)

SELECT
    periods.period,
    count(used.period)                                                              AS usage_count,
    count(CASE WHEN used.success THEN 1 END)                                        AS success_count,
    count(CASE WHEN NOT used.success THEN 1 END)                                    AS failure_count,
    count(CASE WHEN used.success THEN 1 END) / nullif(count(used.period), 0) * 100  AS success_rate
FROM periods
LEFT JOIN used ON used.period = periods.period
GROUP BY periods.period
ORDER BY periods.period
