-- Purpose: waits until every transaction that changed raw rows has ended, and lets none begin, for a moment.
-- Grain:   the table.
-- Time:    to the end of the transaction.
LOCK TABLE prompt_usage IN SHARE ROW EXCLUSIVE MODE
