-- Purpose: receives a batch of events from a tracker.
-- Grain:   one row per event.
-- Time:    created_at.
COPY {given} ({columns}) FROM STDIN
