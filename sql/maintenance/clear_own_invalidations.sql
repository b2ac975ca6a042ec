-- Purpose: forgets the changes that this very transaction made.
-- Grain:   one row per note of the trigger.
-- Time:    xid, that of the transaction.
DELETE FROM prompt_usage_invalidation WHERE xid = pg_current_xact_id()::text::bigint
