-- Purpose: removes the rows of user_prompt_stats that have no events any more.
-- Grain:   one row: how many were removed, and of which prompts.
-- Time:    none. Those without a usage_count in the temporary table user_prompts_changed have no events.
WITH deleted AS (
    DELETE FROM user_prompt_stats AS published
    USING user_prompts_changed AS gone
    WHERE
        published.user_id = gone.user_id
        AND published.prompt_id = gone.prompt_id
        AND gone.usage_count IS NULL
    RETURNING published.prompt_id
)

SELECT
    count(*)                                                   AS rows_written,
    coalesce(array_agg(DISTINCT prompt_id::text), '{}')        AS prompts
FROM deleted
