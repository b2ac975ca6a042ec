-- Purpose: the most used prompts.
-- Grain:   one row a prompt that is active and not deleted; most used first, then most successes.
-- Time:    as_of.
WITH settings AS (
    -- Yours to change: how many prompts.
    SELECT 20 AS prompts_max
)

SELECT
    prompts.id,
    prompts.slug,
    prompts.name,
    prompts.category,
    prompts.usage_count,
    stats.usage_count_30d,
    stats.unique_users,
    prompts.favorite_count,
    prompts.success_rate,
    stats.success_rate_lower,
    prompts.avg_generation_time_ms,
    prompts.last_used_at,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM prompts
LEFT JOIN prompt_stats AS stats ON stats.prompt_id = prompts.id
WHERE prompts.is_active AND prompts.deleted_at IS NULL
ORDER BY prompts.usage_count DESC, prompts.success_count DESC, prompts.id
LIMIT (SELECT prompts_max FROM settings)
