-- Purpose: raw events on their way to the lake, as text and plain types.
-- Grain:   one row per event.
-- Time:    ingest_xid, above the mark of the event's day and below high.
-- Run as COPY through ADBC, which takes no parameters: they are the session's settings, set with bound
-- values before: prompt_stats.high, .first_day, .from_day, .to_day, .lowest_mark, and .days, a JSON list
-- of {day, mark}. A mark of -1 takes all of the day, rows older than the pipeline included.
-- generation_time_ms are whole milliseconds, generation_time_ps what is left of one, in billionths of it. A
-- value that an integer can't hold, as NaN or infinity, is no time: unusable names the column.
-- Times before the year 1 or after 9999, which no client can read, are taken as undated.
-- Each setting is read in a subquery, so once and not for each row. Two branches, so that days other than
-- the first don't look for undated rows.
WITH wanted AS (
    SELECT day, mark
    FROM jsonb_to_recordset((SELECT current_setting('prompt_stats.days')::jsonb)) AS days (day date, mark bigint)
),

events AS (
    SELECT
        *,
        greatest(created_at::date, (SELECT current_setting('prompt_stats.first_day')::date)) AS event_day
    FROM prompt_usage
    WHERE
        created_at >= (SELECT current_setting('prompt_stats.from_day')::date)
        AND created_at < (SELECT current_setting('prompt_stats.to_day')::date + 1)
    UNION ALL
    SELECT
        *,
        (SELECT current_setting('prompt_stats.first_day')::date) AS event_day
    FROM prompt_usage
    WHERE
        (SELECT current_setting('prompt_stats.from_day')::date <= current_setting('prompt_stats.first_day')::date)
        AND (
            created_at IS NULL
            OR created_at < (SELECT current_setting('prompt_stats.from_day')::date)
            OR created_at >= '10000-01-01'
        )
)

SELECT
    events.id::text,
    events.prompt_id::text,
    events.user_id::text,
    events.character_id::text,
    events.post_id::text,
    events.job_id::text,
    events.scene::text,
    events.environment::text,
    events.outfit::text,
    events.success,
    CASE
        WHEN events.generation_time_ms BETWEEN -2147483648 AND 2147483647
            THEN floor(events.generation_time_ms)::bigint
    END                                                   AS generation_time_ms,
    CASE
        WHEN
            events.generation_time_ms BETWEEN -2147483648 AND 2147483647
            AND events.generation_time_ms <> floor(events.generation_time_ms)
            THEN
                round(
                    (events.generation_time_ms - floor(events.generation_time_ms))::double precision * 1000000000
                )::bigint
    END                                                   AS generation_time_ps,
    CASE
        WHEN NOT events.generation_time_ms BETWEEN -2147483648 AND 2147483647 THEN 'generation_time_ms'
    END                                                   AS unusable,
    events.error_message::text,
    CASE
        WHEN events.created_at >= '0001-01-01' AND events.created_at < '10000-01-01'
            THEN events.created_at::timestamptz
    END                                                   AS created_at,
    coalesce(events.ingest_xid, 0)                        AS ingest_xid,
    (SELECT current_setting('prompt_stats.high')::bigint) AS synced_high,
    events.event_day                                      AS day
FROM events
INNER JOIN wanted ON wanted.day = events.event_day
WHERE
    (
        events.ingest_xid > (SELECT current_setting('prompt_stats.lowest_mark')::bigint)
        OR events.ingest_xid IS NULL AND (SELECT current_setting('prompt_stats.lowest_mark')::bigint < 0)
    )
    AND coalesce(events.ingest_xid, 0) > wanted.mark
    AND coalesce(events.ingest_xid, 0) < (SELECT current_setting('prompt_stats.high')::bigint)
