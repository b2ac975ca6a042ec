-- Purpose: what a user likes: the prompts that they use most, and their favourites.
-- Grain:   one row per prompt that the user used or has as a favourite; most used first.
-- Time:    as_of, that of the stats of users; is_favorite is of now.
-- -v user=… takes a user's id; without it, the one who used prompts most.
\if :{?user}
\else
\set user ''
\endif
WITH settings AS (
    SELECT coalesce(
        nullif(:'user', ''),
        (SELECT user_id::text FROM user_prompt_stats GROUP BY user_id ORDER BY sum(usage_count) DESC, user_id LIMIT 1)
    ) AS user_id
),

used AS (
    SELECT *
    FROM user_prompt_stats
    WHERE user_id::text = (SELECT user_id FROM settings)
),

favorites AS (
    SELECT DISTINCT prompt_id
    FROM prompt_favorites
    WHERE user_id::text = (SELECT user_id FROM settings)
)

SELECT
    coalesce(used.prompt_id, favorites.prompt_id)                         AS prompt_id,
    prompts.slug,
    prompts.name,
    coalesce(used.usage_count, 0)                                         AS usage_count,
    used.success_rate,
    used.avg_generation_time_ms,
    used.last_used_at,
    favorites.prompt_id IS NOT NULL                                       AS is_favorite,
    (SELECT user_stats_as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM used
FULL JOIN favorites ON favorites.prompt_id = used.prompt_id
LEFT JOIN prompts ON prompts.id = coalesce(used.prompt_id, favorites.prompt_id)
ORDER BY coalesce(used.usage_count, 0) DESC, prompts.slug
