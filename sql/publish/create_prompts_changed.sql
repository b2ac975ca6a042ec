-- Purpose: a temporary table for the prompts whose counters differ, gone with the transaction.
-- Grain:   one row per prompt.
-- Time:    none.
CREATE TEMPORARY TABLE prompts_changed ON COMMIT DROP AS
SELECT
    prompt.id,
    stats.usage_count,
    stats.success_count,
    stats.failure_count,
    stats.success_rate,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    stats.favorite_count
FROM prompts AS prompt
CROSS JOIN prompt_stats AS stats
WITH NO DATA
