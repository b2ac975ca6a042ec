-- Purpose: writes changed counters into prompts; leaves updated_at and every other column alone.
-- Grain:   one row a prompt whose counters differ, in the temporary table prompts_changed.
-- Time:    :as_of.
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
WHERE prompt.id::text = changed.prompt_id
