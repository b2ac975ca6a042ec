-- Purpose: the prompts that make people wait: by the 95th percentile of the generation time.
-- Grain:   one row per prompt that is active, not deleted, and was timed often enough; the slowest first.
-- Time:    as_of.
-- -v prompts_max=20 says how many prompts, -v timed_count_min=30 the fewest timed events of each.
\if :{?prompts_max}
\else
\set prompts_max 20
\endif
\if :{?timed_count_min}
\else
\set timed_count_min 30
\endif
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
    AND stats.timed_count >= :timed_count_min
ORDER BY stats.p95_generation_time_ms DESC, prompts.id
LIMIT :prompts_max
