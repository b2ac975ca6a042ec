-- Purpose: since when the oldest transaction that has written something is open, read before snapshot.sql.
-- Grain:   one row.
-- Time:    now.
-- A role without pg_read_all_stats sees of other roles' transactions that they have an id, but not since
-- when they are open: not before the server started. Two-phase transactions hold ids as well.
SELECT
    clock_timestamp()                                       AS read_at,
    coalesce(min(writer.started_at), clock_timestamp())     AS oldest_started_at
FROM (
    SELECT coalesce(xact_start, pg_postmaster_start_time()) AS started_at
    FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL
    UNION ALL
    SELECT prepared AS started_at FROM pg_prepared_xacts
) AS writer
