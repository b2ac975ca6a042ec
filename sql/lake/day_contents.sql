-- Purpose: what Postgres holds of some days, to be compared with the lake: see engine/day_contents.sql.
-- Grain:   one row per day, from :from_day to :to_day.
-- Time:    ingest_xid, below :high.
-- The checksum adds up 32 bits of each row's MD5, so it depends on every value and not on the order.
-- Times that no client can read are undated in the lake, and generation times are as usage_events.sql makes them.
WITH events AS (
    SELECT
        *,
        greatest(CASE WHEN created_at < '10000-01-01' THEN created_at::date END, :first_day) AS day
    FROM prompt_usage
    WHERE
        (
            created_at >= CAST(:from_day AS date) AND created_at < CAST(:to_day AS date) + 1
            OR (created_at IS NULL OR created_at < CAST(:first_day AS date) OR created_at >= '10000-01-01')
                AND :from_day <= :first_day
        )
        AND (ingest_xid < :high OR ingest_xid IS NULL)
)

SELECT
    day,
    count(*)                     AS usage_count,
    max(coalesce(ingest_xid, 0)) AS mark,
    sum(
        ('x' || left(
            md5(
                pg_catalog.concat_ws(
                    '|',
                    id,
                    prompt_id,
                    coalesce(user_id::text, chr(1)),
                    coalesce(character_id::text, chr(1)),
                    coalesce(post_id::text, chr(1)),
                    coalesce(job_id::text, chr(1)),
                    coalesce(scene::text, chr(1)),
                    coalesce(environment::text, chr(1)),
                    coalesce(outfit::text, chr(1)),
                    coalesce(success::text, chr(1)),
                    CASE
                        WHEN generation_time_ms BETWEEN -2147483648 AND 2147483647
                            THEN floor(generation_time_ms)::bigint::text
                        ELSE chr(1)
                    END,
                    CASE
                        WHEN
                            generation_time_ms BETWEEN -2147483648 AND 2147483647
                            AND generation_time_ms <> floor(generation_time_ms)
                            THEN
                                round(
                                    (generation_time_ms - floor(generation_time_ms))::double precision * 1000000000
                                )::bigint::text
                        ELSE chr(1)
                    END,
                    coalesce(error_message::text, chr(1)),
                    CASE
                        WHEN created_at >= '0001-01-01' AND created_at < '10000-01-01'
                            THEN round(extract(epoch FROM created_at::timestamptz) * 1000000)::bigint::text
                        ELSE chr(1)
                    END
                )
            ),
            8
        ))::bit(32)::bigint
    )::bigint                    AS checksum
FROM events
GROUP BY day
ORDER BY day
