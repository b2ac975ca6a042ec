-- Purpose: the most used prompts, as the app ranks them.
-- Grain:   one row per prompt that is active and not deleted; most used first, then most successes.
-- Time:    stats_as_of. A prompt that is younger comes with the next refresh.
SELECT
    prompt.id::text AS id,
    prompt.slug,
    prompt.name,
    prompt.category,
    stats.usage_count,
    stats.success_count,
    stats.failure_count,
    stats.success_rate,
    stats.success_rate_lower,
    stats.avg_generation_time_ms,
    stats.p95_generation_time_ms,
    stats.last_used_at,
    stats.favorite_count
FROM prompt_stats AS stats
INNER JOIN prompts AS prompt ON prompt.id = stats.prompt_id
WHERE prompt.is_active IS NOT FALSE AND prompt.deleted_at IS NULL
ORDER BY stats.usage_count DESC, stats.success_count DESC, stats.prompt_id
LIMIT :limit
