-- Purpose: makes a prompt the last of a user's favourites; answers whether there is such a living prompt.
-- Grain:   one row.
-- Time:    created_at, now.
WITH prompt AS (
    SELECT id
    FROM prompts
    WHERE id = %(prompt_id)s AND deleted_at IS NULL
),

added AS (
    INSERT INTO prompt_favorites (prompt_id, user_id, sort_order)
    SELECT
        prompt.id,
        %(user_id)s,
        coalesce(
            (SELECT max(sort_order) + 1 FROM prompt_favorites WHERE user_id = %(user_id)s), 0
        )
    FROM prompt
    WHERE NOT EXISTS (
        SELECT FROM prompt_favorites AS other WHERE other.prompt_id = prompt.id AND other.user_id = %(user_id)s
    )
    ON CONFLICT DO NOTHING
)

SELECT EXISTS (SELECT FROM prompt) AS is_known
