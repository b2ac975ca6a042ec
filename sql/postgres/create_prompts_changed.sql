-- Purpose: a temporary table for the prompts whose counters differ, gone with the transaction.
-- Grain:   one row a prompt.
-- Time:    none.
CREATE TEMPORARY TABLE prompts_changed ON COMMIT DROP AS
SELECT
    id::text AS prompt_id,
    usage_count,
    success_count,
    failure_count,
    success_rate,
    avg_generation_time_ms,
    last_used_at,
    favorite_count
FROM prompts
WITH NO DATA
