-- Purpose: how often each generation time was taken, by a prompt's scene, environment and outfit.
-- Grain:   prompt x dimension x value x time bucket, NULL being a value; the buckets of prompt_usage_daily.sql.
-- Time:    all of the input.
-- Reads usage_events. Runs on DuckDB alone, as prompt_value_counts.sql does, in the same pass over the prompts.
SELECT
    prompt_id,
    dimension,
    value,
    CASE
        WHEN generation_time_ms > 0 THEN CAST(ceil(ln(generation_time_ms) / ln(1.02 / 0.98)) AS INTEGER)
        ELSE -1
    END         AS time_bucket,
    count(*)    AS usage_count
FROM usage_events
UNPIVOT INCLUDE NULLS (value FOR dimension IN (scene, environment, outfit))
WHERE generation_time_ms IS NOT NULL
GROUP BY prompt_id, dimension, value, time_bucket
