-- Purpose: takes a prompt from a user's favourites; one that was none stays none.
-- Grain:   one row a favourite.
-- Time:    none.
DELETE FROM prompt_favorites
USING prompts AS prompt
WHERE
    prompt_favorites.prompt_id = prompt.id
    AND prompt_favorites.user_id = %(user_id)s
    AND (prompt.id::text = %(id)s OR prompt.slug = %(slug)s)
