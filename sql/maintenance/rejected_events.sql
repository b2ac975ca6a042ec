-- Purpose: events that could not be taken, the latest first.
-- Grain:   one row per rejected event.
-- Time:    rejected_at.
-- Reasons and payloads are cut; a payload is a text, since no JSON parser takes all that jsonb holds.
SELECT
    id,
    rejected_at,
    event_id,
    left(reason, :reason) AS reason,
    left(payload::text, :payload) AS payload
FROM prompt_usage_rejected
ORDER BY id DESC
LIMIT :limit
