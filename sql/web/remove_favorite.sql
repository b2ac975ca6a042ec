-- Purpose: takes a prompt from a user's favourites; one that was none stays none.
-- Grain:   one row per favourite.
-- Time:    none.
DELETE FROM prompt_favorites
WHERE prompt_id = %(prompt_id)s AND user_id = %(user_id)s
