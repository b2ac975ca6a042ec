-- Purpose: takes back what earlier refreshes said about transaction ids, and leaves their as_of.
-- Grain:   one row per refresh.
-- Time:    all.
UPDATE stats_refresh SET high = 0, next_xid = 9223372036854775807
