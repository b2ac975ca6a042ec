-- Purpose: as of when which stats are, and the transactions that hold the watermark.
-- Grain:   one row per kind of stats, none before the first publish; and one an open writing transaction.
-- Time:    as_of of the last publish, now; transactions that are open for longer than :longest.
-- Stats that were never counted are as old as the first publish. A role without pg_read_all_stats does not
-- see since when others' transactions are open; those are there with a since of null.
WITH latest AS (
    SELECT as_of, user_stats_as_of, value_stats_as_of
    FROM stats_refresh
    ORDER BY id DESC
    LIMIT 1
),

first AS (SELECT published_at FROM stats_refresh ORDER BY id LIMIT 1),

ages AS (
    SELECT 'stats' AS kind, 'stats' AS name, as_of AS since
    FROM latest
    UNION ALL
    SELECT 'stats', 'stats of users', coalesce(user_stats_as_of, published_at)
    FROM latest
    CROSS JOIN first
    UNION ALL
    SELECT 'stats', 'stats by value', coalesce(value_stats_as_of, published_at)
    FROM latest
    CROSS JOIN first
    UNION ALL
    SELECT 'transaction', pg_catalog.concat_ws(' ', 'pid', pid, usename, application_name, state), xact_start
    FROM pg_stat_activity
    WHERE
        backend_xid IS NOT NULL
        AND coalesce(xact_start < clock_timestamp() - CAST(:longest AS interval), true)
    UNION ALL
    SELECT 'transaction', pg_catalog.concat_ws(' ', 'prepared', gid, owner), prepared
    FROM pg_prepared_xacts
    WHERE prepared < clock_timestamp() - CAST(:longest AS interval)
)

SELECT
    kind,
    name,
    since,
    extract(epoch FROM clock_timestamp() - since)::double precision AS seconds
FROM ages
ORDER BY kind, since
