-- Purpose: the prompts that nobody has ever used.
-- Grain:   one row per prompt that is active and not deleted; the oldest first.
-- Time:    as_of.
SELECT
    prompts.id,
    prompts.slug,
    prompts.name,
    prompts.category,
    stats.favorite_count,
    prompts.created_at,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM prompt_stats AS stats
INNER JOIN prompts ON prompts.id = stats.prompt_id
WHERE stats.usage_count = 0 AND prompts.is_active IS NOT FALSE AND prompts.deleted_at IS NULL
ORDER BY prompts.created_at, prompts.id
