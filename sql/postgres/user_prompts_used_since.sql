-- Purpose: the users and prompts that may have been used on a day or later.
-- Grain:   one row per user and prompt; at most :limit.
-- Time:    last_used_at; rows without one are among them.
SELECT
    user_id::text     AS user_id,
    prompt_id::text   AS prompt_id
FROM user_prompt_stats
WHERE last_used_at >= :since OR last_used_at IS NULL
LIMIT :limit
