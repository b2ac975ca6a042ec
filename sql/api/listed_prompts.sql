-- Purpose: prompts filtered and searched; a user's favourites first, in the user's order, then the most used.
-- Grain:   one row a prompt that is not deleted.
-- Time:    stats_as_of, of the counters.
SELECT
    prompt.*,
    favorite.prompt_id IS NOT NULL AS is_favorite,
    count(*) OVER ()               AS total_count
FROM prompts AS prompt
LEFT JOIN LATERAL (
    SELECT
        prompt_id,
        min(sort_order) AS sort_order
    FROM prompt_favorites
    WHERE user_id = %(user_id)s AND prompt_id = prompt.id
    GROUP BY prompt_id
) AS favorite ON true
WHERE
    prompt.deleted_at IS NULL
    AND (CAST(%(active)s AS boolean) IS NULL OR prompt.is_active = CAST(%(active)s AS boolean))
    AND (CAST(%(category)s AS text) IS NULL OR prompt.category::text = CAST(%(category)s AS text))
    AND (CAST(%(rating)s AS text) IS NULL OR prompt.rating::text = CAST(%(rating)s AS text))
    AND (CAST(%(tag)s AS text) IS NULL OR to_jsonb(prompt.tags) ? CAST(%(tag)s AS text))
    AND (
        CAST(%(search)s AS text) IS NULL
        OR strpos(
            lower(concat_ws(' ', prompt.name, prompt.slug, prompt.description, prompt.template)),
            lower(CAST(%(search)s AS text))
        ) > 0
    )
ORDER BY favorite.sort_order, prompt.usage_count DESC, prompt.success_count DESC, prompt.id
LIMIT %(limit)s OFFSET %(offset)s
