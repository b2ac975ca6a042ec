-- Purpose: writes changed counters into prompts; leaves updated_at and every other column alone.
-- Grain:   one row per prompt whose counters differ, in the temporary table prompts_changed.
-- Time:    :as_of.
-- A row that the app holds is left to the next refresh: who waits for it would keep the app from all the others.
WITH free AS MATERIALIZED (
    SELECT prompt.id
    FROM prompts AS prompt
    INNER JOIN prompts_changed AS changed ON changed.prompt_id = prompt.id::text
    FOR NO KEY UPDATE OF prompt SKIP LOCKED
)

UPDATE prompts AS prompt
SET
    usage_count = changed.usage_count,
    success_count = changed.success_count,
    failure_count = changed.failure_count,
    success_rate = changed.success_rate,
    avg_generation_time_ms = changed.avg_generation_time_ms,
    last_used_at = changed.last_used_at,
    favorite_count = changed.favorite_count,
    stats_as_of = :as_of
FROM prompts_changed AS changed
INNER JOIN free ON free.id::text = changed.prompt_id
WHERE prompt.id = free.id
