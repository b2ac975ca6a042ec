-- Purpose: how large each prompt's partials are, to choose how many prompts are merged at once.
-- Grain:   one row per prompt; a null prompt is one, too.
-- Time:    all of the input.
-- Reads partials, as merged_partials.sql does. Runs unchanged on DuckDB and Spark.
SELECT
    prompt_id,
    count(*)                            AS partial_count,
    CAST(sum(usage_count) AS BIGINT)    AS usage_count
FROM partials
GROUP BY prompt_id
