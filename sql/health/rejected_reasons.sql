-- Purpose: why events could not be taken, the most frequent reason first.
-- Grain:   one row per reason.
-- Time:    rejected_at.
SELECT
    reason,
    count(*)         AS event_count,
    min(rejected_at) AS first_at,
    max(rejected_at) AS last_at
FROM prompt_usage_rejected
GROUP BY reason
ORDER BY 2 DESC, 1
