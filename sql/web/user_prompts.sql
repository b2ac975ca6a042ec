-- Purpose: the prompts that a user used or has as a favourite.
-- Grain:   one row per prompt; favourites first, in the user's order, then the most used.
-- Time:    as of user_stats_as_of; favourites as they are now.
WITH favorites AS (
    SELECT
        prompt_id,
        min(sort_order) AS sort_order
    FROM prompt_favorites
    WHERE user_id = %(user_id)s
    GROUP BY prompt_id
),

used AS (
    SELECT *
    FROM user_prompt_stats
    WHERE user_id = %(user_id)s
)

SELECT
    prompt.id::text                   AS prompt_id,
    prompt.slug,
    prompt.name,
    prompt.category,
    favorites.prompt_id IS NOT NULL   AS is_favorite,
    favorites.sort_order,
    coalesce(used.usage_count, 0)     AS usage_count,
    coalesce(used.success_count, 0)   AS success_count,
    coalesce(used.failure_count, 0)   AS failure_count,
    used.success_rate,
    used.avg_generation_time_ms,
    used.last_used_at
FROM prompts AS prompt
LEFT JOIN favorites ON favorites.prompt_id = prompt.id
LEFT JOIN used ON used.prompt_id = prompt.id
WHERE prompt.deleted_at IS NULL AND (favorites.prompt_id IS NOT NULL OR used.prompt_id IS NOT NULL)
ORDER BY favorites.sort_order, used.usage_count DESC, prompt.id
LIMIT %(limit)s
