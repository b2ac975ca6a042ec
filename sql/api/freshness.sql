-- Purpose: as of when the stats are, and how old that is now.
-- Grain:   one row; NULL before the first publish.
-- Time:    as_of of the last publish.
SELECT
    latest.id                                                                 AS refresh_id,
    latest.as_of,
    latest.user_stats_as_of,
    latest.value_stats_as_of,
    extract(epoch FROM clock_timestamp() - latest.as_of)::double precision    AS lag_seconds
FROM (VALUES (1)) AS one (row)
LEFT JOIN (
    SELECT
        id,
        as_of,
        user_stats_as_of,
        value_stats_as_of
    FROM stats_refresh
    ORDER BY id DESC
    LIMIT 1
) AS latest ON true
