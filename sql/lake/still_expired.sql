-- Purpose: whether a day is one whose raw rows may be removed, until the transaction ends.
-- Grain:   one row, or none.
-- Time:    :day.
SELECT day FROM stats_expired_day WHERE day = :day FOR SHARE
