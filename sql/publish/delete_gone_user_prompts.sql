-- Purpose: removes the rows of user_prompt_stats that have no events any more.
-- Grain:   one row per user and prompt.
-- Time:    none. Those without a usage_count in the temporary table user_prompts_changed have no events.
DELETE FROM user_prompt_stats AS published
USING user_prompts_changed AS gone
WHERE
    published.user_id = gone.user_id
    AND published.prompt_id = gone.prompt_id
    AND gone.usage_count IS NULL
