-- Purpose: the days of which an index may not show all rows, so that they are read from the table itself.
-- Grain:   one row per day.
-- Time:    day.
SELECT DISTINCT day
FROM prompt_usage_invalidation
WHERE operation = 'RESCAN'
