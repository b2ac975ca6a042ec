-- Purpose: who has which prompt as a favourite.
-- Grain:   one row a user and prompt.
-- Time:    now.
SELECT DISTINCT
    user_id::text   AS user_id,
    prompt_id::text AS prompt_id
FROM prompt_favorites
