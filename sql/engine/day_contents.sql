-- Purpose: what the lake holds of some days, to be compared with Postgres: see postgres/day_contents.sql.
-- Grain:   one row per day.
-- Time:    all of the input.
-- stats_expired_day keeps the checksum: whoever changes it here needs a revision that empties it there.
-- Reads usage_events. Runs on DuckDB alone: it is no rollup, reads what was just written, and Spark has no epoch_us.
SELECT
    day,
    count(*)        AS usage_count,
    max(ingest_xid) AS mark,
    CAST(
        sum(
            CAST(
                '0x' || left(
                    md5(
                        concat_ws(
                            '|',
                            id,
                            prompt_id,
                            coalesce(user_id, chr(1)),
                            coalesce(character_id, chr(1)),
                            coalesce(post_id, chr(1)),
                            coalesce(job_id, chr(1)),
                            coalesce(scene, chr(1)),
                            coalesce(environment, chr(1)),
                            coalesce(outfit, chr(1)),
                            coalesce(CAST(success AS VARCHAR), chr(1)),
                            coalesce(CAST(generation_time_ms AS VARCHAR), chr(1)),
                            coalesce(CAST(generation_time_ps AS VARCHAR), chr(1)),
                            coalesce(error_message, chr(1)),
                            coalesce(CAST(epoch_us(created_at) AS VARCHAR), chr(1))
                        )
                    ),
                    8
                ) AS BIGINT
            )
        ) AS BIGINT
    )               AS checksum
FROM usage_events
GROUP BY day
ORDER BY day
