-- Purpose: a prompt's numbers as they are published in each place, beside a recount of its raw events.
-- Grain:   one row per place, for the prompt with the id, slug or name that psql is given: -v prompt=….
-- Time:    now; events after as_of are in the recount alone.
WITH chosen AS (
    -- An id before a slug, a slug before a name, a living prompt before a deleted one. What several are called
    -- is an error.
    SELECT *
    FROM prompts
    WHERE :'prompt' IN (id::text, slug::text, name::text)
    ORDER BY id::text = :'prompt' DESC, (slug::text = :'prompt') IS TRUE DESC, deleted_at IS NULL DESC
    FETCH FIRST 1 ROW WITH TIES
)

SELECT
    'raw events' AS place,
    count(*)     AS usage_count,
    count(*) FILTER (WHERE success) AS success_count,
    count(*) FILTER (WHERE NOT success) AS failure_count
FROM prompt_usage
WHERE prompt_id = (SELECT id FROM chosen)
UNION ALL
SELECT 'days that only the lake has', coalesce(sum(usage_count), 0), sum(success_count), sum(failure_count)
FROM prompt_daily_stats
WHERE prompt_id = (SELECT id FROM chosen) AND day IN (SELECT day FROM stats_expired_day)
UNION ALL
SELECT 'prompts', usage_count, success_count, failure_count
FROM chosen
UNION ALL
SELECT 'prompt_stats', usage_count, success_count, failure_count
FROM prompt_stats
WHERE prompt_id = (SELECT id FROM chosen)
UNION ALL
SELECT 'prompt_daily_stats', sum(usage_count), sum(success_count), sum(failure_count)
FROM prompt_daily_stats
WHERE prompt_id = (SELECT id FROM chosen)
