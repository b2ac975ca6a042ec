-- Purpose: the days that the pipeline itself noted to be read again, since another number of rows came than it expected.
-- Grain:   one row per day.
-- Time:    day.
SELECT DISTINCT day
FROM prompt_usage_invalidation
WHERE operation = 'RECOUNT' AND day IS NOT NULL
