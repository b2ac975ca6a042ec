-- Purpose: the most used prompts.
-- Grain:   one row per prompt that is active and not deleted; most used first, then most successes.
-- Time:    as_of.
-- -v prompts_max=20 says how many prompts.
\if :{?prompts_max}
\else
\set prompts_max 20
\endif
SELECT
    prompts.id,
    prompts.slug,
    prompts.name,
    prompts.category,
    stats.usage_count,
    stats.usage_count_30d,
    stats.unique_users,
    stats.favorite_count,
    stats.success_rate,
    stats.success_rate_lower,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM prompt_stats AS stats
INNER JOIN prompts ON prompts.id = stats.prompt_id
WHERE prompts.is_active IS NOT FALSE AND prompts.deleted_at IS NULL
ORDER BY stats.usage_count DESC, stats.success_count DESC, prompts.id
LIMIT :prompts_max
