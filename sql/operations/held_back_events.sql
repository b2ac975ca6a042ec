-- Purpose: the events that are dated more than a day ahead, and are not counted yet.
-- Grain:   one row per day.
-- Time:    created_at.
-- Seconds since 1970 are those of UTC, whether or not the app's times have a zone, and whatever psql's is.
SELECT
    (to_timestamp(extract(epoch FROM created_at)) AT TIME ZONE 'UTC')::date AS day,
    count(*)         AS usage_count,
    min(created_at)  AS first_at,
    max(created_at)  AS last_at,
    min(id::text)    AS an_event
FROM prompt_usage
WHERE (to_timestamp(extract(epoch FROM created_at)) AT TIME ZONE 'UTC')::date > (now() AT TIME ZONE 'UTC')::date + 1
    AND created_at < '10000-01-01'
GROUP BY 1
ORDER BY 1
