-- Purpose: the prompts that succeed most surely: by the lower end of the success rate's 95 % interval.
-- Grain:   one row per prompt that is active, not deleted, and was used often enough; the surest first.
-- Time:    as_of.
WITH settings AS (
    -- Yours to change: how many prompts, and the fewest events of each.
    SELECT
        20 AS prompts_max,
        30 AS usage_count_min
)

SELECT
    prompts.id,
    prompts.slug,
    prompts.name,
    stats.usage_count,
    stats.success_count,
    stats.success_rate,
    stats.success_rate_lower,
    stats.success_rate_upper,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM prompt_stats AS stats
INNER JOIN prompts ON prompts.id = stats.prompt_id
WHERE
    prompts.is_active IS NOT FALSE
    AND prompts.deleted_at IS NULL
    AND stats.usage_count >= (SELECT usage_count_min FROM settings)
ORDER BY stats.success_rate_lower DESC, stats.usage_count DESC, prompts.id
LIMIT (SELECT prompts_max FROM settings)
