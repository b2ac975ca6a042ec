-- Purpose: empties the temporary table for a batch of events, which may hold others of the same transaction.
-- Grain:   none.
-- Time:    none.
TRUNCATE {given}
