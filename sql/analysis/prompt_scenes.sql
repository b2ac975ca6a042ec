-- Purpose: performance of one prompt by scene.
-- Grain:   one row per scene, NULL being one; most used first.
-- Time:    as_of.
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
    SELECT
        prompts.id,
        prompts.name
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
    stats.success_count,
    stats.failure_count,
    stats.success_rate,
    stats.success_rate_lower,
    stats.success_rate_upper,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    stats.prompt_id,
    (SELECT named.name FROM named)                             AS prompt_name,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM prompt_scene_stats AS stats
WHERE stats.prompt_id = (SELECT named.id FROM named)
ORDER BY stats.usage_count DESC, stats.scene
