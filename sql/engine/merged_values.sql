-- Purpose: partials of any days or months merged into one, per value of each dimension, of all prompts together.
-- Grain:   dimension x value; prompt_id is always null.
-- Time:    all of the input.
-- Reads partials, as merged_partials does, but those of times and errors, which only matter by prompt.
-- Runs unchanged on DuckDB and Spark.
SELECT
    CAST(NULL AS STRING)                        AS prompt_id,
    dimension,
    value,
    CAST(sum(usage_count) AS BIGINT)            AS usage_count,
    CAST(sum(success_count) AS BIGINT)          AS success_count,
    CAST(sum(failure_count) AS BIGINT)          AS failure_count,
    CAST(sum(timed_count) AS BIGINT)            AS timed_count,
    CAST(sum(generation_time_ms_sum) AS BIGINT) AS generation_time_ms_sum,
    CAST(sum(generation_time_ps_sum) AS BIGINT) AS generation_time_ps_sum,
    min(generation_time_ms_min)                 AS generation_time_ms_min,
    max(generation_time_ms_max)                 AS generation_time_ms_max,
    min(first_used_at)                          AS first_used_at,
    max(last_used_at)                           AS last_used_at
FROM partials
WHERE dimension IN ('prompt', 'scene', 'environment', 'outfit')
GROUP BY dimension, value
