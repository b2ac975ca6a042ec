-- Purpose: keeps an event that could not be taken, for somebody to put right and track again.
-- Grain:   one row a rejected event.
-- Time:    rejected_at, now; the event's own time is in the payload.
INSERT INTO prompt_usage_rejected (reason, payload)
VALUES (%(reason)s, %(payload)s)
