-- Purpose: the days of which the app has changed rows, and which no sync has read since.
-- Grain:   one row per day, as in invalidated_days.sql.
-- Time:    day.
SELECT DISTINCT greatest(CASE WHEN day < '10000-01-01' THEN day END, :first_day) AS day
FROM prompt_usage_invalidation
WHERE operation IN ('UPDATE', 'DELETE')
