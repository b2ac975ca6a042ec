-- Purpose: writes the rows of user_prompt_stats that differ from what is published.
-- Grain:   one row per user and prompt that changed.
-- Time:    none. Those without a usage_count in the temporary table user_prompts_changed are none.
-- Equal rows are left out beforehand: ON CONFLICT would lock, and so write, each of them.
INSERT INTO user_prompt_stats (
    user_id,
    prompt_id,
    usage_count,
    success_count,
    failure_count,
    success_rate,
    avg_generation_time_ms,
    last_used_at
)
SELECT
    user_id,
    prompt_id,
    usage_count,
    success_count,
    failure_count,
    success_rate,
    avg_generation_time_ms,
    last_used_at
FROM user_prompts_changed AS wanted
WHERE usage_count IS NOT NULL AND NOT EXISTS (
    SELECT
    FROM user_prompt_stats AS published
    WHERE
        published.user_id = wanted.user_id
        AND published.prompt_id = wanted.prompt_id
        AND (
            published.usage_count,
            published.success_count,
            published.failure_count,
            published.success_rate,
            published.avg_generation_time_ms,
            published.last_used_at
        ) IS NOT DISTINCT FROM (
            wanted.usage_count,
            wanted.success_count,
            wanted.failure_count,
            wanted.success_rate,
            wanted.avg_generation_time_ms,
            wanted.last_used_at
        )
)
ON CONFLICT (user_id, prompt_id) DO UPDATE SET
    usage_count = excluded.usage_count,
    success_count = excluded.success_count,
    failure_count = excluded.failure_count,
    success_rate = excluded.success_rate,
    avg_generation_time_ms = excluded.avg_generation_time_ms,
    last_used_at = excluded.last_used_at
