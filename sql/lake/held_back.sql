-- Purpose: how many events wait for their day to come.
-- Grain:   one row.
-- Time:    created_at, after :open_until.
SELECT count(*) AS usage_count
FROM prompt_usage
WHERE created_at >= CAST(:open_until AS date) + 1 AND created_at < '10000-01-01'
