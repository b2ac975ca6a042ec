-- Purpose: the days before a cutoff that still have raw rows, and how many.
-- Grain:   one row per day.
-- Time:    day, before :cutoff.
SELECT
    greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day,
    count(*)                                                     AS usage_count
FROM prompt_usage
WHERE created_at < CAST(:cutoff AS date) OR created_at IS NULL OR created_at >= '10000-01-01'
GROUP BY 1
ORDER BY 1
