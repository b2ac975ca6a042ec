-- Purpose: the latest refreshes: when, how long, how old what they published was, and what they could not do.
-- Grain:   one row per publish, the latest first.
-- Time:    published_at.
SELECT
    published_at,
    published_at - started_at                            AS took,
    published_at - as_of                                 AS lag,
    usage_count,
    held_back_count,
    pending_days,
    seconds,
    run_id
FROM stats_refresh
ORDER BY id DESC
LIMIT 20
