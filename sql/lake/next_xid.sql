-- Purpose: the transaction id that is given out next: whatever has committed by now has a smaller one.
-- Grain:   one row.
-- Time:    now.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_xid
