-- Purpose: events that could not be taken, the latest first.
-- Grain:   one row a rejected event.
-- Time:    rejected_at.
SELECT
    id,
    rejected_at,
    event_id,
    reason,
    payload
FROM prompt_usage_rejected
ORDER BY id DESC
LIMIT :limit
