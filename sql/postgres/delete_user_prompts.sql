-- Purpose: removes the rows of user_prompt_stats that have no events any more.
-- Grain:   one row a user and prompt, of the prompts in :prompts, that is not in user_prompts_changed.
-- Time:    none.
-- :prompts has no type of its own: it takes that of the app's ids.
DELETE FROM user_prompt_stats AS published
WHERE
    published.prompt_id = ANY(:prompts)
    AND NOT EXISTS (
        SELECT
        FROM user_prompts_changed AS wanted
        WHERE wanted.user_id = published.user_id AND wanted.prompt_id = published.prompt_id
    )
