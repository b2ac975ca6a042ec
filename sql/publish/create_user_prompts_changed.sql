-- Purpose: a temporary table for changed rows of user_prompt_stats, gone with the transaction.
-- Grain:   one row per user and prompt.
-- Time:    none.
CREATE TEMPORARY TABLE user_prompts_changed ON COMMIT DROP AS
SELECT
    user_id,
    prompt_id,
    usage_count,
    success_count,
    failure_count,
    success_rate,
    avg_generation_time_ms,
    last_used_at
FROM user_prompt_stats
WITH NO DATA
