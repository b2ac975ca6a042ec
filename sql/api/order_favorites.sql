-- Purpose: puts a user's favourites into the order given; those that are not named follow, as they were.
-- Grain:   one row a favourite.
-- Time:    none.
WITH ordered AS (
    SELECT
        favorite.id,
        row_number() OVER (
            ORDER BY array_position(CAST(%(prompt_ids)s AS uuid[]), favorite.prompt_id), favorite.sort_order
        ) - 1 AS sort_order
    FROM prompt_favorites AS favorite
    WHERE favorite.user_id = %(user_id)s
)

UPDATE prompt_favorites
SET sort_order = ordered.sort_order
FROM ordered
WHERE prompt_favorites.id = ordered.id AND prompt_favorites.sort_order <> ordered.sort_order
