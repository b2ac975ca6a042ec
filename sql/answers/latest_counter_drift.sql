-- Purpose: what the counters in prompts had when they were last taken over, and what was counted.
-- Grain:   one row, or none where nobody had kept counters.
-- Time:    published_at of that refresh, if it came after the refresh :since.
SELECT
    id AS refresh_id,
    as_of,
    published_at AS compared_at,
    counter_drift
FROM stats_refresh
WHERE counter_drift IS NOT NULL AND id > :since
ORDER BY id DESC
LIMIT 1
