-- Purpose: the prompts that succeed most surely: by the lower end of the success rate's 95 % interval.
-- Grain:   one row per prompt that is active, not deleted, and was used often enough; the surest first.
-- Time:    as_of.
-- -v prompts_max=20 says how many prompts, -v usage_count_min=30 the fewest events of each.
\if :{?prompts_max}
\else
\set prompts_max 20
\endif
\if :{?usage_count_min}
\else
\set usage_count_min 30
\endif
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
    AND stats.usage_count >= :usage_count_min
ORDER BY stats.success_rate_lower DESC, stats.usage_count DESC, prompts.id
LIMIT :prompts_max
