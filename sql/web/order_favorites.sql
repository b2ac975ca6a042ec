-- Purpose: puts a user's favourites into the order given; those that are not named follow, as they were.
-- Grain:   one row per favourite.
-- Time:    none.
WITH ordered AS (
    SELECT
        prompt_id,
        row_number() OVER (
            ORDER BY array_position(CAST(%(prompt_ids)s AS text[]), prompt_id::text), min(sort_order)
        ) - 1 AS sort_order
    FROM prompt_favorites
    WHERE user_id = %(user_id)s
    GROUP BY prompt_id
)

UPDATE prompt_favorites
SET sort_order = ordered.sort_order
FROM ordered
WHERE
    prompt_favorites.user_id = %(user_id)s
    AND prompt_favorites.prompt_id = ordered.prompt_id
    AND prompt_favorites.sort_order IS DISTINCT FROM ordered.sort_order
