-- Purpose: the sessions that hold, or wait for, the strongest locks on tables that this session finds by name.
-- Grain:   one row per session that holds any, and one if it waits for one; three at most.
-- Time:    now; since: when its transaction began.
-- Roles without pg_read_all_stats see the pid, the role and the name of other roles' sessions.
-- Reading waits for AccessExclusiveLock alone, writing for the next three too, changing a table for any. Who waits for
-- one is waited for in turn.
WITH found AS (
    SELECT
        lock.pid,
        lock.mode,
        lock.granted,
        relation.relname,
        CASE
            WHEN lock.mode = 'AccessExclusiveLock' THEN 3
            WHEN lock.mode IN ('ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock') THEN 2
            WHEN lock.mode = 'AccessShareLock' THEN 0
            ELSE 1
        END AS strength
    FROM pg_locks AS lock
    INNER JOIN pg_class AS relation ON relation.oid = lock.relation
    INNER JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE
        lock.locktype = 'relation'
        AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND namespace.nspname = ANY(current_schemas(false))
        AND lock.pid NOT IN (pg_backend_pid(), %(pid)s)
)
SELECT
    session.pid,
    session.usename                                          AS role,
    session.application_name,
    host(session.client_addr)                                AS client,
    coalesce(session.xact_start, session.state_change)       AS since,
    array_agg(DISTINCT found.relname::text)                  AS tables,
    min(found.mode)                                          AS mode,
    found.granted,
    pg_blocking_pids(session.pid)                            AS behind
FROM found
INNER JOIN pg_stat_activity AS session ON session.pid = found.pid
WHERE found.strength = (SELECT max(strength) FROM found)
GROUP BY 1, 2, 3, 4, 5, found.granted
ORDER BY found.granted DESC, since
LIMIT 3
