-- Purpose: as of when the stats are, and how old that is now.
-- Grain:   one row; NULL before the first publish.
-- Time:    as_of of the last publish.
SELECT
    refresh_id,
    as_of,
    user_stats_as_of,
    value_stats_as_of,
    lag_seconds
FROM stats_freshness
