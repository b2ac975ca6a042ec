-- Purpose: receives a batch of events from a tracker.
-- Grain:   one row an event.
-- Time:    created_at.
COPY {given} ({columns}) FROM STDIN
