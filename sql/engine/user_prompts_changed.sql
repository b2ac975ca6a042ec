-- Purpose: which users used which prompts in the events by which two states of some days differ.
-- Grain:   one row per user and prompt.
-- Time:    all of the input.
-- Reads usage_events; and earlier, the same days as they were. Runs unchanged on DuckDB and Spark.
-- Compared are the columns that the stats of users are made from.
SELECT DISTINCT
    user_id,
    prompt_id
FROM (
    (
        SELECT user_id, prompt_id, success, generation_time_ms, generation_time_ps, created_at
        FROM usage_events
        EXCEPT ALL
        SELECT user_id, prompt_id, success, generation_time_ms, generation_time_ps, created_at
        FROM earlier
    )
    UNION ALL
    (
        SELECT user_id, prompt_id, success, generation_time_ms, generation_time_ps, created_at
        FROM earlier
        EXCEPT ALL
        SELECT user_id, prompt_id, success, generation_time_ms, generation_time_ps, created_at
        FROM usage_events
    )
) AS differing
WHERE
    user_id IS NOT NULL
    AND prompt_id IS NOT NULL
