-- Purpose: brings prompt_stats.unique_users up to date with user_prompt_stats.
-- Grain:   one row a prompt whose number changed.
-- Time:    all.
UPDATE prompt_stats AS prompt
SET
    unique_users = counted.unique_users,
    stats_as_of = :as_of
FROM (
    SELECT
        prompt_stats.prompt_id,
        count(user_prompt_stats.user_id) AS unique_users
    FROM prompt_stats
    LEFT JOIN user_prompt_stats ON user_prompt_stats.prompt_id = prompt_stats.prompt_id
    GROUP BY prompt_stats.prompt_id
) AS counted
WHERE counted.prompt_id = prompt.prompt_id AND counted.unique_users <> prompt.unique_users
