-- Purpose: the prompts that make people wait: by the 95th percentile of the generation time.
-- Grain:   one row per prompt that is active, not deleted, and was timed often enough; the slowest first.
-- Time:    as_of.
WITH settings AS (
    -- Yours to change: how many prompts, and the fewest timed events of each.
    SELECT
        20 AS prompts_max,
        30 AS timed_count_min
)

SELECT
    prompts.id,
    prompts.slug,
    prompts.name,
    stats.timed_count,
    stats.p50_generation_time_ms,
    stats.p95_generation_time_ms,
    stats.p99_generation_time_ms,
    stats.avg_generation_time_ms,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM prompt_stats AS stats
INNER JOIN prompts ON prompts.id = stats.prompt_id
WHERE
    prompts.is_active IS NOT FALSE
    AND prompts.deleted_at IS NULL
    AND stats.timed_count >= (SELECT timed_count_min FROM settings)
ORDER BY stats.p95_generation_time_ms DESC, prompts.id
LIMIT (SELECT prompts_max FROM settings)
