-- Purpose: what a day's events add up to, per prompt and per value of each dimension, ready to be merged.
-- Grain:   day x prompt x dimension x value; dimension 'prompt' has no value and is the prompt's own row.
-- Time:    day (UTC).
-- Reads usage_events. Runs unchanged on DuckDB and Spark.
-- time_bucket is the logarithmic bucket of DDSketch (Masson, Rim, Lee, VLDB 2019) with a relative error
-- of 2 %: gamma = 1.02 / 0.98, bucket = ceil(log_gamma(time)). Times below 1 ms go to bucket -1.
WITH events AS (
    SELECT
        day,
        prompt_id,
        scene,
        environment,
        outfit,
        user_id,
        error_message,
        CASE
            WHEN generation_time_ms > 0
                THEN CAST(ceil(ln(generation_time_ms) / ln(1.02 / 0.98)) AS INTEGER)
            WHEN generation_time_ms <= 0 THEN -1
        END AS time_bucket,
        success,
        generation_time_ms,
        created_at,
        ingest_xid,
        synced_high
    FROM usage_events
)

SELECT
    day,
    prompt_id,
    CASE
        WHEN grouping(scene) = 0 THEN 'scene'
        WHEN grouping(environment) = 0 THEN 'environment'
        WHEN grouping(outfit) = 0 THEN 'outfit'
        WHEN grouping(user_id) = 0 THEN 'user'
        WHEN grouping(error_message) = 0 THEN 'error'
        WHEN grouping(time_bucket) = 0 THEN 'time'
        ELSE 'prompt'
    END                                                    AS dimension,
    CASE
        WHEN grouping(scene) = 0 THEN scene
        WHEN grouping(environment) = 0 THEN environment
        WHEN grouping(outfit) = 0 THEN outfit
        WHEN grouping(user_id) = 0 THEN user_id
        WHEN grouping(error_message) = 0 THEN error_message
        WHEN grouping(time_bucket) = 0 THEN CAST(time_bucket AS VARCHAR(12))
    END                                                    AS value,
    count(*)                                               AS usage_count,
    count(CASE WHEN success THEN 1 END)                    AS success_count,
    count(CASE WHEN NOT success THEN 1 END)                AS failure_count,
    count(generation_time_ms)                              AS timed_count,
    CAST(coalesce(sum(generation_time_ms), 0) AS BIGINT)   AS generation_time_ms_sum,
    min(generation_time_ms)                                AS generation_time_ms_min,
    max(generation_time_ms)                                AS generation_time_ms_max,
    min(created_at)                                        AS first_used_at,
    max(created_at)                                        AS last_used_at,
    max(ingest_xid)                                        AS ingest_xid,
    min(synced_high)                                       AS synced_high
FROM events
GROUP BY
    GROUPING SETS (
        (day, prompt_id),
        (day, prompt_id, scene),
        (day, prompt_id, environment),
        (day, prompt_id, outfit),
        (day, prompt_id, user_id),
        (day, prompt_id, error_message),
        (day, prompt_id, time_bucket)
    )
-- Only scene, environment and outfit have a group for NULL.
HAVING
    NOT (grouping(user_id) = 0 AND user_id IS NULL)
    AND NOT (grouping(error_message) = 0 AND error_message IS NULL)
    AND NOT (grouping(time_bucket) = 0 AND time_bucket IS NULL)
