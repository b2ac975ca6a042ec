-- Purpose: keeps an event that could not be taken, for somebody to put right and track again.
-- Grain:   one row per rejected event.
-- Time:    rejected_at, now; the event's own time is in the payload.
INSERT INTO prompt_usage_rejected (event_id, reason, payload)
VALUES (%(event_id)s, %(reason)s, %(payload)s)
ON CONFLICT (event_id) DO NOTHING
