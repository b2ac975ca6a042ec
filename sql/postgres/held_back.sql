-- Purpose: the events whose day has not come yet.
-- Grain:   one row a day.
-- Time:    created_at, after :open_until.
SELECT
    created_at::date AS day,
    count(*)         AS usage_count
FROM prompt_usage
WHERE created_at >= CAST(:open_until AS date) + 1
GROUP BY 1
ORDER BY 1
