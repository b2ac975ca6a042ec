-- Purpose: the days before a cutoff that still have raw rows, and how many.
-- Grain:   one row a day.
-- Time:    day, before :cutoff.
SELECT
    greatest(coalesce(created_at::date, :first_day), :first_day) AS day,
    count(*)                                                     AS usage_count
FROM prompt_usage
WHERE created_at < CAST(:cutoff AS date) OR created_at IS NULL
GROUP BY 1
ORDER BY 1
