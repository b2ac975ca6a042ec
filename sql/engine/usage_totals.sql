-- Purpose: usage over some days of any time zone and over those before them, of all prompts.
-- Grain:   one row.
-- Time:    created_at, from :first to :last, both days included, and from :before to the day before :first.
-- Reads usage_events; undated events and those without a prompt are left out. Runs on DuckDB alone: it is no
-- rollup, and answers somebody who waits.
WITH used AS (
    SELECT
        prompt_id,
        success,
        timezone($timezone, created_at) >= CAST($first AS TIMESTAMP) AS is_within
    FROM usage_events
    WHERE
        prompt_id IS NOT NULL
        AND timezone($timezone, created_at) >= CAST($before AS TIMESTAMP)
        AND timezone($timezone, created_at) < CAST($last AS TIMESTAMP) + INTERVAL 1 DAY
)

SELECT
    count(CASE WHEN is_within THEN 1 END)                   AS usage_count,
    count(CASE WHEN is_within AND success THEN 1 END)       AS success_count,
    count(CASE WHEN is_within AND NOT success THEN 1 END)   AS failure_count,
    count(CASE WHEN is_within AND success THEN 1 END)
    / nullif(count(CASE WHEN is_within THEN 1 END), 0) * 100 AS success_rate,
    count(CASE WHEN NOT is_within THEN 1 END)               AS previous_usage_count,
    count(DISTINCT CASE WHEN is_within THEN prompt_id END)  AS prompt_count
FROM used
