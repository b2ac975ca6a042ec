-- Purpose: empties the temporary table for the next changed rows of user_prompt_stats.
-- Grain:   one row a user and prompt.
-- Time:    none.
TRUNCATE user_prompts_changed
