-- Purpose: marks in user_prompt_stats what became a favourite.
-- Grain:   one row per user and prompt that was used and is not marked yet.
-- Time:    now.
UPDATE user_prompt_stats AS used
SET is_favorite = true
FROM prompt_favorites AS favorite
WHERE
    favorite.user_id = used.user_id
    AND favorite.prompt_id = used.prompt_id
    AND NOT used.is_favorite
