-- Purpose: unmarks in user_prompt_stats what is no favourite any more.
-- Grain:   one row per user and prompt that is marked.
-- Time:    now.
UPDATE user_prompt_stats AS used
SET is_favorite = false
WHERE
    used.is_favorite
    AND NOT EXISTS (
        SELECT
        FROM prompt_favorites AS favorite
        WHERE favorite.user_id = used.user_id AND favorite.prompt_id = used.prompt_id
    )
