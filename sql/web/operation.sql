-- Purpose: what an operator's charts are made of: the last publish and what waits.
-- Grain:   one row.
-- Time:    now, and as_of of the last publish.
SELECT
    extract(epoch FROM latest.as_of)::double precision                                 AS as_of_seconds,
    latest.lag_seconds,
    extract(epoch FROM latest.published_at)::double precision                          AS published_seconds,
    extract(epoch FROM latest.published_at - latest.started_at)::double precision      AS publish_seconds,
    latest.usage_count,
    latest.held_back_count,
    latest.pending_day_count                                                           AS pending_days,
    refresh.rows_written,
    refresh.seconds,
    -- Of other roles' transactions only a member of pg_read_all_stats sees since when they are open: null
    -- if there is one of which that is not known, 0 if there is none.
    (
        SELECT
            CASE
                WHEN count(writer.started_at) = count(*)
                    THEN coalesce(extract(epoch FROM clock_timestamp() - min(writer.started_at)), 0)
            END::double precision
        FROM (
            SELECT xact_start AS started_at FROM pg_stat_activity WHERE backend_xid IS NOT NULL
            UNION ALL
            SELECT prepared AS started_at FROM pg_prepared_xacts
        ) AS writer
    )                                                                                  AS oldest_writer_seconds,
    (SELECT count(*) FROM prompt_usage_rejected)                                       AS rejected_count,
    (SELECT count(*) FROM stats_expired_day WHERE damaged_at IS NOT NULL)              AS damaged_days
FROM stats_freshness AS latest
LEFT JOIN stats_refresh AS refresh ON refresh.id = latest.refresh_id
