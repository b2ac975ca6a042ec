-- Purpose: removes the rows of user_prompt_stats that have no events any more, where all others are at hand.
-- Grain:   one row per user and prompt that is not in the temporary table user_prompts_changed.
-- Time:    none.
DELETE FROM user_prompt_stats AS published
WHERE NOT EXISTS (
    SELECT
    FROM user_prompts_changed AS wanted
    WHERE wanted.user_id = published.user_id AND wanted.prompt_id = published.prompt_id
)
