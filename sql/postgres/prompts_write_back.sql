-- Purpose: the counters that the pipeline writes into prompts, as they are now.
-- Grain:   one row a prompt.
-- Time:    now.
SELECT
    id::text AS prompt_id,
    usage_count,
    success_count,
    failure_count,
    success_rate,
    avg_generation_time_ms,
    last_used_at,
    favorite_count
FROM prompts
