-- Purpose: the transactions that have written something and are still open: events after them wait.
-- Grain:   one row per transaction, the oldest first.
-- Time:    now.
-- Of other roles' transactions only a member of pg_read_all_stats sees since when they are open, and what they run.
SELECT
    pid,
    clock_timestamp() - xact_start AS open_for,
    state,
    usename                        AS role,
    datname                        AS database,
    application_name,
    client_addr,
    left(query, 80)                AS latest_query
FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
UNION ALL
SELECT
    NULL                         AS pid,
    clock_timestamp() - prepared AS open_for,
    'prepared'                   AS state,
    owner                        AS role,
    database,
    gid                          AS application_name,
    NULL                         AS client_addr,
    NULL                         AS latest_query
FROM pg_prepared_xacts
ORDER BY open_for DESC NULLS LAST
