-- Purpose: how fresh and how complete the stats are.
-- Grain:   one row; NULL before the first refresh.
-- Time:    as_of; lag_seconds is its age now.
SELECT
    as_of,
    lag_seconds,
    is_fresh,
    user_stats_as_of,
    published_at,
    usage_count,
    -- Events dated more than a day ahead: not counted yet.
    held_back_count,
    -- Days with events not yet counted.
    pending_days
FROM stats_freshness
