-- Purpose: prompts filtered and searched; a user's favourites first, in the user's order, then the most used.
-- Grain:   one row per prompt that is not deleted.
-- Time:    stats_as_of, of the counters.
-- Some columns come twice, and a row by name has the last: after the counters of prompts, which may be left alone,
-- those of prompt_stats; and ids as texts, since JSON has no numbers as large as an app's may be.
WITH page AS (
    -- Sorted by themselves: whole prompts are wide.
    SELECT
        prompt.id,
        favorite.sort_order,
        favorite.prompt_id IS NOT NULL  AS is_favorite,
        coalesce(stats.usage_count, 0)   AS usage_count,
        coalesce(stats.success_count, 0) AS success_count,
        count(*) OVER ()                AS total_count
    FROM prompts AS prompt
    LEFT JOIN prompt_stats AS stats ON stats.prompt_id = prompt.id
    LEFT JOIN (
        SELECT
            prompt_id,
            min(sort_order) AS sort_order
        FROM prompt_favorites
        WHERE user_id = %(user_id)s
        GROUP BY prompt_id
    ) AS favorite ON favorite.prompt_id = prompt.id
    WHERE
        prompt.deleted_at IS NULL
        AND (CAST(%(active)s AS boolean) IS NULL OR (prompt.is_active IS NOT FALSE) = CAST(%(active)s AS boolean))
        AND (CAST(%(category)s AS text) IS NULL OR prompt.category::text = CAST(%(category)s AS text))
        AND (CAST(%(rating)s AS text) IS NULL OR prompt.rating::text = CAST(%(rating)s AS text))
        AND (CAST(%(tag)s AS text) IS NULL OR to_jsonb(prompt.tags) ? CAST(%(tag)s AS text))
        AND (
            CAST(%(search)s AS text) IS NULL
            OR strpos(
                lower(pg_catalog.concat_ws(
                    ' ', prompt.name, prompt.slug, prompt.id, prompt.tags, prompt.description, prompt.template
                )),
                lower(CAST(%(search)s AS text))
            ) > 0
        )
    ORDER BY favorite.sort_order, usage_count DESC, success_count DESC, prompt.id
    LIMIT %(limit)s OFFSET %(offset)s
)

SELECT
    prompt.*,
    prompt.id::text AS id,
    prompt.created_by::text AS created_by,
    coalesce(stats.usage_count, 0)    AS usage_count,
    coalesce(stats.success_count, 0)  AS success_count,
    coalesce(stats.failure_count, 0)  AS failure_count,
    stats.success_rate,
    stats.avg_generation_time_ms,
    stats.last_used_at,
    coalesce(stats.favorite_count, 0) AS favorite_count,
    stats.stats_as_of,
    page.is_favorite,
    page.total_count
FROM page
INNER JOIN prompts AS prompt ON prompt.id = page.id
LEFT JOIN prompt_stats AS stats ON stats.prompt_id = page.id
ORDER BY page.sort_order, page.usage_count DESC, page.success_count DESC, page.id
