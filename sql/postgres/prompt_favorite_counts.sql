-- Purpose: every prompt, and how many users have it as a favourite.
-- Grain:   one row a prompt that exists or is somebody's favourite.
-- Time:    now.
SELECT
    coalesce(prompt.id, favorite.prompt_id)::text AS prompt_id,
    coalesce(favorite.favorite_count, 0)          AS favorite_count
FROM prompts AS prompt
FULL JOIN (
    SELECT
        prompt_id,
        count(DISTINCT user_id) AS favorite_count
    FROM prompt_favorites
    GROUP BY prompt_id
) AS favorite ON favorite.prompt_id = prompt.id
