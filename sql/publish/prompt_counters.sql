-- Purpose: the counters in prompts beside those in prompt_stats.
-- Grain:   one row per prompt in both.
-- Time:    prompts as it is now, prompt_stats as of the last publish.
SELECT
    prompt.id::text                AS prompt_id,
    prompt.usage_count::bigint     AS had_usage_count,
    prompt.success_count::bigint   AS had_success_count,
    prompt.failure_count::bigint   AS had_failure_count,
    prompt.favorite_count::bigint  AS had_favorite_count,
    stats.usage_count,
    stats.success_count,
    stats.failure_count,
    stats.favorite_count
FROM prompts AS prompt
INNER JOIN prompt_stats AS stats ON stats.prompt_id::text = prompt.id::text
