-- Purpose: brings user_prompt_stats.is_favorite up to date with prompt_favorites.
-- Grain:   one row a user and prompt that was used, where it changed.
-- Time:    now.
UPDATE user_prompt_stats AS used
SET is_favorite = NOT used.is_favorite
WHERE
    used.is_favorite <> EXISTS (
        SELECT
        FROM prompt_favorites AS favorite
        WHERE favorite.user_id = used.user_id AND favorite.prompt_id = used.prompt_id
    )
