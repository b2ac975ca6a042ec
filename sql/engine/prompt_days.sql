-- Purpose: what some days' events add up to, per prompt.
-- Grain:   one row per day and prompt; a null prompt is one, too.
-- Time:    day (UTC).
-- Reads partials: rows of prompt_usage_daily. Runs unchanged on DuckDB and Spark.
SELECT *
FROM partials
WHERE dimension = 'prompt'
