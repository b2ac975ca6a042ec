-- Purpose: writes changed counters into prompts; leaves updated_at and every other column alone.
-- Grain:   one row: how many prompts of the temporary table prompts_changed were updated, by what they have now.
-- Time:    :as_of.
-- written: they have what was written. altered: something else, which a trigger of the app made of it.
-- A row that the app holds is left to the next refresh: who waits for it would keep the app from all the others.
-- Rates and means go by way of text: a double becomes a numeric of 15 digits, its text one with all of them.
WITH free AS MATERIALIZED (
    SELECT prompt.id
    FROM prompts AS prompt
    INNER JOIN prompts_changed AS changed ON changed.id = prompt.id
    FOR NO KEY UPDATE OF prompt SKIP LOCKED
),

updated AS (
    UPDATE prompts AS prompt
    SET
        usage_count = changed.usage_count,
        success_count = changed.success_count,
        failure_count = changed.failure_count,
        success_rate = changed.success_rate::text::numeric,
        avg_generation_time_ms = changed.avg_generation_time_ms::text::numeric,
        last_used_at = changed.last_used_at,
        favorite_count = changed.favorite_count,
        stats_as_of = :as_of
    FROM prompts_changed AS changed
    INNER JOIN free ON free.id = changed.id
    WHERE prompt.id = free.id
    RETURNING
        (
            prompt.usage_count,
            prompt.success_count,
            prompt.failure_count,
            prompt.success_rate,
            prompt.avg_generation_time_ms,
            prompt.last_used_at,
            prompt.favorite_count
        ) IS NOT DISTINCT FROM (
            changed.usage_count,
            changed.success_count,
            changed.failure_count,
            changed.success_rate,
            changed.avg_generation_time_ms,
            changed.last_used_at,
            changed.favorite_count
        ) AS is_as_written
)

SELECT
    count(*) FILTER (WHERE is_as_written)     AS written,
    count(*) FILTER (WHERE NOT is_as_written) AS altered
FROM updated
