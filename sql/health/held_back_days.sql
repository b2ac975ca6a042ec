-- Purpose: the events that wait for their day to come, the next day first.
-- Grain:   one row per day.
-- Time:    created_at, more than a day ahead of the database's clock.
-- current_date and not clock_timestamp(), which is volatile: no index could be used.
SELECT
    created_at::date::text    AS day,
    count(*)                  AS event_count,
    count(DISTINCT prompt_id) AS prompt_count,
    count(DISTINCT user_id)   AS user_count
FROM prompt_usage
WHERE created_at >= current_date + 2 AND created_at < '10000-01-01'
GROUP BY created_at::date
ORDER BY created_at::date
