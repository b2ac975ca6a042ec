-- Purpose: the prompts that a recount takes, and how many users have used them.
-- Grain:   one row per prompt.
-- Time:    as of the last publish.
-- The :most_used prompts, and :others by a hash of their ids and the refresh's, so that each night takes others.
WITH latest AS (
    SELECT id FROM stats_refresh ORDER BY id DESC LIMIT 1
)

(
    SELECT
        prompt_id::text AS prompt_id,
        unique_users
    FROM prompt_stats
    ORDER BY usage_count DESC, prompt_id
    LIMIT :most_used
)
UNION
(
    SELECT
        prompt_id::text,
        unique_users
    FROM prompt_stats
    ORDER BY md5(pg_catalog.concat(prompt_id, (SELECT id FROM latest))), prompt_id
    LIMIT :others
)
