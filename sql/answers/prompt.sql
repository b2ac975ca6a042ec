-- Purpose: one prompt with its stats.
-- Grain:   one row, or none.
-- Time:    stats_as_of, of the stats.
SELECT
    prompt.id::text AS id,
    prompt.slug,
    prompt.name,
    prompt.category,
    prompt.is_active,
    coalesce(stats.usage_count, 0)     AS usage_count,
    coalesce(stats.success_count, 0)   AS success_count,
    coalesce(stats.failure_count, 0)   AS failure_count,
    stats.success_rate,
    stats.success_rate_lower,
    stats.avg_generation_time_ms,
    stats.p50_generation_time_ms,
    stats.p95_generation_time_ms,
    stats.p99_generation_time_ms,
    stats.first_used_at,
    stats.last_used_at,
    coalesce(stats.unique_users, 0)    AS unique_users,
    coalesce(stats.usage_count_7d, 0)  AS usage_count_7d,
    coalesce(stats.usage_count_30d, 0) AS usage_count_30d,
    coalesce(stats.favorite_count, 0)  AS favorite_count
FROM prompts AS prompt
LEFT JOIN prompt_stats AS stats ON stats.prompt_id = prompt.id
WHERE prompt.id = :prompt_id
