-- Purpose: partials of any days merged into one, per user and prompt.
-- Grain:   user x prompt.
-- Time:    all days of the input.
-- Reads partials, rows of prompt_user_daily. Runs unchanged on DuckDB and Spark.
SELECT
    user_id,
    prompt_id,
    CAST(sum(usage_count) AS BIGINT)            AS usage_count,
    CAST(sum(success_count) AS BIGINT)          AS success_count,
    CAST(sum(failure_count) AS BIGINT)          AS failure_count,
    CAST(sum(timed_count) AS BIGINT)            AS timed_count,
    CAST(sum(generation_time_ms_sum) AS BIGINT) AS generation_time_ms_sum,
    max(last_used_at)                           AS last_used_at
FROM partials
WHERE user_id IS NOT NULL AND prompt_id IS NOT NULL
GROUP BY user_id, prompt_id
