-- Purpose: the error messages of some events, to be folded into kinds.
-- Grain:   one row per message.
-- Time:    all of the input.
-- Reads usage_events. Runs unchanged on DuckDB and Spark.
SELECT DISTINCT error_message
FROM usage_events
WHERE error_message IS NOT NULL
