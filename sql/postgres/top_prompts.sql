-- Purpose: the most used prompts, as the app ranks them.
-- Grain:   one row a prompt that is active and not deleted; most used first, then most successes.
-- Time:    stats_as_of, of the counters.
SELECT
    prompt.id,
    prompt.slug,
    prompt.name,
    prompt.category,
    prompt.usage_count,
    prompt.success_count,
    prompt.failure_count,
    prompt.success_rate,
    stats.success_rate_lower,
    prompt.avg_generation_time_ms,
    stats.p95_generation_time_ms,
    prompt.last_used_at,
    prompt.favorite_count
FROM prompts AS prompt
LEFT JOIN prompt_stats AS stats ON stats.prompt_id = prompt.id
WHERE prompt.is_active AND prompt.deleted_at IS NULL
ORDER BY prompt.usage_count DESC, prompt.success_count DESC, prompt.id
LIMIT :limit
