-- Purpose: brings prompt_stats.unique_users up to date with user_prompt_stats.
-- Grain:   one row per prompt whose number changed, among :prompts and those that were not counted yet.
-- Time:    all. :prompts NULL: all prompts are counted.
WITH wanted AS (
    SELECT prompt_id
    FROM prompt_stats
    WHERE
        CAST(:prompts AS text []) IS NULL
        OR prompt_id::text = ANY(CAST(:prompts AS text []))
        OR (unique_users = 0 AND usage_count > 0)
)

UPDATE prompt_stats AS prompt
SET
    unique_users = counted.unique_users,
    stats_as_of = :as_of
FROM (
    SELECT
        wanted.prompt_id,
        count(user_prompt_stats.user_id) AS unique_users
    FROM wanted
    LEFT JOIN user_prompt_stats ON user_prompt_stats.prompt_id = wanted.prompt_id
    GROUP BY wanted.prompt_id
) AS counted
WHERE counted.prompt_id = prompt.prompt_id AND counted.unique_users <> prompt.unique_users
