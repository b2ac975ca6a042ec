-- Purpose: how many users a prompt's events have.
-- Grain:   one row per prompt.
-- Time:    all of the input.
-- Reads usage_events. Runs on DuckDB alone: it is no rollup, distinct users don't add up, and it answers somebody
-- who waits for less than a job of Spark takes.
SELECT
    prompt_id,
    count(DISTINCT user_id) AS unique_users
FROM usage_events
WHERE prompt_id IS NOT NULL
GROUP BY prompt_id
