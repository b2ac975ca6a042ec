-- Purpose: receives a batch of events from a tracker, for a table whose types are not those of our own.
-- Grain:   one row an event, or an event that its reader rejected.
-- Time:    created_at.
COPY prompt_usage_given FROM STDIN
