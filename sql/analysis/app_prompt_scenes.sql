-- Purpose: performance of one prompt by scene: what the app asks of prompt_usage, from the stats.
-- Grain:   one row per scene, NULL being one; most used first.
-- Time:    as of the last refresh.
-- -v prompt=… takes an id, a slug or a name; without it, the most used prompt.
\if :{?prompt}
\else
\set prompt ''
\endif
WITH settings AS (
    SELECT coalesce(
        nullif(:'prompt', ''),
        (
            SELECT prompts.id::text
            FROM prompt_stats AS stats
            INNER JOIN prompts ON prompts.id = stats.prompt_id
            ORDER BY stats.usage_count DESC, prompts.id
            LIMIT 1
        )
    ) AS prompt
),

named AS (
    -- An id before a slug, a slug before a name, a living prompt before a deleted one. What several are called
    -- is an error.
    SELECT prompts.id
    FROM settings
    INNER JOIN prompts ON settings.prompt IN (prompts.id::text, prompts.slug::text, prompts.name::text)
    ORDER BY
        prompts.id::text = settings.prompt DESC,
        (prompts.slug::text = settings.prompt) IS TRUE DESC,
        prompts.deleted_at IS NULL DESC
    FETCH FIRST 1 ROW WITH TIES
)

SELECT
    stats.scene,
    stats.usage_count,
    stats.avg_generation_time_ms AS avg_time_ms,
    stats.success_rate
FROM prompt_scene_stats AS stats
WHERE stats.prompt_id = (SELECT named.id FROM named)
ORDER BY stats.usage_count DESC
