-- Purpose: fills the temporary table prompts_changed with what the counters in prompts shall be.
-- Grain:   one row per prompt whose counters are others than in prompt_stats.
-- Time:    now.
INSERT INTO prompts_changed
SELECT
    prompt.id,
    stats.usage_count,
    stats.success_count,
    stats.failure_count,
    stats.success_rate,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    stats.favorite_count
FROM prompts AS prompt
INNER JOIN prompt_stats AS stats ON stats.prompt_id::text = prompt.id::text
WHERE
    (
        prompt.usage_count::bigint,
        prompt.success_count::bigint,
        prompt.failure_count::bigint,
        prompt.success_rate::double precision,
        prompt.avg_generation_time_ms::double precision,
        prompt.last_used_at::timestamptz,
        prompt.favorite_count::bigint
    ) IS DISTINCT FROM (
        stats.usage_count,
        stats.success_count,
        stats.failure_count,
        stats.success_rate,
        stats.avg_generation_time_ms,
        stats.last_used_at,
        stats.favorite_count
    )
